//! The ConfigMap with the syncer's configuration. It holds no secret: passwords are named by their files.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::metadata;
use crate::{controller::validate::ValidatedSync, names};

pub(super) fn build(sync: &ValidatedSync) -> ConfigMap {
    ConfigMap {
        metadata: metadata(sync),
        data: Some(BTreeMap::from([(names::CONFIG_FILE.to_owned(), sync.config_text.clone())])),
        ..ConfigMap::default()
    }
}
