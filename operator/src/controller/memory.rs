//! What the passes over an object leave behind for the next one. Lost with the process, which costs an apply of each
//! object and an event told twice; nothing that matters may stand here alone (Promise 12).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use kube::runtime::reflector::ObjectRef;

use crate::crd::{RedisSync, RedisSyncStatus};

/// Of all objects.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<ObjectRef<RedisSync>, Remembered>>);

/// Of one object.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// The StatefulSet's generation after it was applied last.
    pub applied_generation: Option<i64>,
    /// The status that was written last: newer than the one in the store, for a moment. Events are told once.
    pub status: Option<RedisSyncStatus>,
    /// Errors in a row.
    failures: u32,
}

impl Memory {
    /// What is known of an object; of a new one nothing.
    pub fn recall(&self, object: &ObjectRef<RedisSync>) -> Remembered {
        self.objects().get(object).cloned().unwrap_or_default()
    }

    /// Its StatefulSet was applied.
    pub fn applied(&self, object: &ObjectRef<RedisSync>, generation: i64) {
        self.objects().entry(object.clone()).or_default().applied_generation = Some(generation);
    }

    /// Its status was written.
    pub fn told(&self, object: &ObjectRef<RedisSync>, status: RedisSyncStatus) {
        self.objects().entry(object.clone()).or_default().status = Some(status);
    }

    /// A pass went well. Nothing is remembered anew by it: the object may be gone.
    pub fn passed(&self, object: &ObjectRef<RedisSync>) {
        if let Some(remembered) = self.objects().get_mut(object) {
            remembered.failures = 0;
        }
    }

    /// A pass failed: how many before it did, in a row.
    pub fn failed(&self, object: &ObjectRef<RedisSync>) -> u32 {
        let mut objects = self.objects();
        let failures = &mut objects.entry(object.clone()).or_default().failures;
        let before = *failures;
        *failures = before.saturating_add(1);
        before
    }

    /// The object is gone: nothing of it stays.
    pub fn forget(&self, object: &ObjectRef<RedisSync>) {
        self.objects().remove(object);
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<ObjectRef<RedisSync>, Remembered>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_are_counted_until_a_pass_goes_well() {
        let memory = Memory::default();
        let cart = ObjectRef::new("cart").within("shop");
        assert_eq!([(); 3].map(|()| memory.failed(&cart)), [0, 1, 2]);
        memory.passed(&cart);
        assert_eq!(memory.failed(&cart), 0);
    }

    #[test]
    fn an_object_that_is_gone_is_not_remembered_by_its_last_pass() {
        let memory = Memory::default();
        let cart = ObjectRef::new("cart").within("shop");
        memory.applied(&cart, 4);
        assert_eq!(memory.recall(&cart).applied_generation, Some(4));
        memory.forget(&cart);
        memory.passed(&cart);
        assert!(memory.objects().is_empty());
    }
}
