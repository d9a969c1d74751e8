//! What an earlier copy may have left in the target beside the data. A process that was killed in a copy begins it
//! again, so this is the place where its remains go.

use super::left_out::LeftOut;
use crate::{
    apply::{Applier, attach::Attached},
    filter::is_reserved_key,
    position::DbIndex,
    record::Record,
    target::{
        error::TargetError,
        guarded::{Expected, Outcome},
        restore::RestoreBatch,
        temporary::parts_key,
    },
};

impl Applier {
    /// Removes what an earlier copy has left beside the data: values under construction, the list of refused keys.
    pub(super) async fn remove_remains(
        &mut self,
        attached: &mut Attached,
        record: &Record,
        left_out: &LeftOut,
    ) -> Result<(), TargetError> {
        let parts_key = parts_key(&self.link.names.record);
        let parts = attached.reader.call(&["HGETALL", &parts_key]).await?;
        let mut batch = RestoreBatch::default();
        left_out.clear(&mut batch);
        for field in parts.array().unwrap_or_default().iter().step_by(2) {
            // `<database> <key>`, as it was put there.
            let part = field.text().and_then(|part| part.split_once(' '));
            if let Some((db, key)) = part
                && let Ok(db) = db.parse()
                && is_reserved_key(key.as_bytes())
                && attached.has_database(DbIndex(db)).await?
            {
                // A SELECT that fails would let the removal run in the database before.
                batch.select(DbIndex(db));
                batch.remove(key.as_bytes(), &attached.capabilities, "temporary key");
            }
        }
        batch.finish();
        batch.command(&["DEL", &parts_key], "temporary key");
        let expected = Expected::record(record);
        match attached.writer.execute(&batch.bytes, batch.command_count, &expected).await? {
            Outcome::Applied(errors) if errors.count == 0 => Ok(()),
            Outcome::Applied(errors) | Outcome::Aborted { queued: errors, .. } => {
                let error = errors.first.first().map(|(_, error)| error.clone());
                Err(TargetError::Refused(error.unwrap_or_else(|| "EXECABORT".into())))
            }
            Outcome::RecordChanged => Err(TargetError::RecordChanged),
        }
    }
}
