//! The smallest YAML → a validated object, through the real validation. The object is named `cart` in namespace `shop`,
//! unlike anything of the product's own, so that swapped names fail.

use redissync_syncer::credentials::Secret;

use super::{Dereferenced, ValidatedSync, validate};
use crate::{controller::dereference, crd::RedisSync};

pub(crate) const PASSWORD: &str = "hunter2-never-shown";

pub(crate) fn object(spec: &str) -> RedisSync {
    let spec = serde_yaml::from_str(spec).unwrap();
    let mut object = RedisSync::new("cart", spec);
    object.metadata.namespace = Some("shop".to_owned());
    object.metadata.uid = Some("u-1".to_owned());
    object.metadata.generation = Some(3);
    object
}

/// Every Secret that the object names, with a password.
pub(crate) fn found(object: &RedisSync) -> Dereferenced {
    let references = dereference::references(&object.spec);
    Dereferenced {
        versions: references
            .iter()
            .map(|reference| (reference.name.clone(), "1".to_owned()))
            .collect(),
        passwords: references
            .into_iter()
            .map(|reference| (reference, Ok(Secret::new(PASSWORD.to_owned()))))
            .collect(),
        tls: Default::default(),
    }
}

pub(crate) fn validated(spec: &str) -> ValidatedSync {
    let object = object(spec);
    validate(&object, &found(&object)).unwrap()
}
