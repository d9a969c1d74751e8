//! The tasks of all objects: a report watch and two site watches for each. They live as long as their object, and belong
//! to it: one of the same name that is created later gets new ones.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use kube::runtime::reflector::ObjectRef;
use redissync_syncer::address::AddressMap;

use crate::{
    controller::validate::{SiteLogins, ValidatedSync},
    crd::{RedisSync, SiteSpec},
    report_client::ReportAddress,
    report_watch::{ReportView, ReportWatch},
    site_watch::{SiteView, SiteWatch, WatchedSite},
    trigger::Triggers,
};

/// All of them.
#[derive(Debug)]
pub struct Watches {
    triggers: Triggers,
    objects: Mutex<HashMap<ObjectRef<RedisSync>, Watched>>,
}

#[derive(Debug)]
struct Watched {
    uid: String,
    report: ReportWatch,
    /// Source and target, by the sites' names: when the parts change, the tasks go on.
    sites: HashMap<String, SiteWatch>,
}

impl Watches {
    /// None yet.
    pub fn new(triggers: Triggers) -> Self {
        Self { triggers, objects: Mutex::default() }
    }

    /// How many objects are watched.
    pub fn len(&self) -> usize {
        self.objects().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects().is_empty()
    }

    /// Starts what is missing for an object and tells its tasks what has changed.
    pub fn update(
        &self,
        object: &ObjectRef<RedisSync>,
        sync: &ValidatedSync,
        [source, target]: [SiteLogins; 2],
    ) {
        let mut objects = self.objects();
        let watched = self.watched(&mut objects, object, &sync.uid);
        let trigger = self.triggers.of(object.clone());
        watched.sites.retain(|name, _| [&sync.source.name, &sync.target.name].contains(&name));
        let mut update = |end, site: &SiteSpec, addresses: &AddressMap, credentials| {
            let name = site.name.clone();
            let site = WatchedSite { site: site.clone(), addresses: addresses.clone() };
            match watched.sites.get(&name) {
                Some(watch) => watch.update(site, credentials),
                None => {
                    let watch = SiteWatch::start(end, site, credentials, trigger.clone());
                    watched.sites.insert(name, watch);
                }
            }
        };
        let checked = &sync.checked_config;
        update("source", &sync.source, &checked.source.addresses, source);
        update("target", &sync.target, &checked.target.addresses, target);
    }

    /// Tells where the object's syncer is, also for an object that is not valid any more, and what it said last.
    pub fn report(
        &self,
        object: &ObjectRef<RedisSync>,
        uid: &str,
        address: Option<ReportAddress>,
    ) -> ReportView {
        let mut objects = self.objects();
        let watched = self.watched(&mut objects, object, uid);
        watched.report.set_address(address);
        watched.report.view()
    }

    /// What is known of a site.
    pub fn site(&self, object: &ObjectRef<RedisSync>, name: &str) -> SiteView {
        let objects = self.objects();
        let watch = objects.get(object).and_then(|watched| watched.sites.get(name));
        watch.map(SiteWatch::view).unwrap_or_default()
    }

    /// Ends an object's tasks.
    pub fn forget(&self, object: &ObjectRef<RedisSync>) {
        self.objects().remove(object);
    }

    fn watched<'a>(
        &self,
        objects: &'a mut HashMap<ObjectRef<RedisSync>, Watched>,
        object: &ObjectRef<RedisSync>,
        uid: &str,
    ) -> &'a mut Watched {
        if objects.get(object).is_some_and(|watched| watched.uid != uid) {
            objects.remove(object);
        }
        objects.entry(object.clone()).or_insert_with(|| Watched {
            uid: uid.to_owned(),
            report: ReportWatch::start(self.triggers.of(object.clone())),
            sites: HashMap::new(),
        })
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<ObjectRef<RedisSync>, Watched>> {
        self.objects.lock().expect("no holder of this lock panics")
    }
}
