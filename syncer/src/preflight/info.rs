//! The answer to `INFO`, field by field. Pure.

/// An answer to `INFO`, all sections or one.
#[derive(Clone, Copy, Debug)]
pub struct Info<'a>(pub &'a str);

impl<'a> Info<'a> {
    /// A field's value.
    pub fn field(self, name: &str) -> Option<&'a str> {
        let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
        self.0.lines().find_map(value).map(str::trim)
    }

    /// A field that is a number.
    pub fn number(self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    /// The highest database that holds keys.
    pub fn highest_database(self) -> Option<u32> {
        let database = |line: &str| line.strip_prefix("db")?.split_once(':')?.0.parse().ok();
        self.0.lines().filter_map(database).max()
    }

    /// Names of the modules that are loaded. `None` where it has no such section (before 5.0).
    pub fn modules(self) -> Option<Vec<String>> {
        self.0.lines().any(|line| line.trim() == "# Modules").then(|| {
            let name = |line: &str| {
                let fields = line.strip_prefix("module:")?;
                let name = fields.split(',').find_map(|field| field.strip_prefix("name="))?;
                Some(name.trim().to_owned())
            };
            self.0.lines().filter_map(name).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let info = Info(
            "# Memory\r\nused_memory:100\r\nused_memory_peak:900\r\nmaxmemory_policy:allkeys-lru\r\n\r\n# Modules\r\n\
             module:name=ReJSON,ver=20000,api=1\r\n\r\n# Keyspace\r\ndb0:keys=1,expires=0\r\ndb9:keys=2,expires=0\r\n",
        );
        assert_eq!(info.number("used_memory"), Some(100));
        assert_eq!(info.number("maxmemory"), None);
        assert_eq!(info.field("maxmemory_policy"), Some("allkeys-lru"));
        assert_eq!(info.highest_database(), Some(9));
        assert_eq!(info.modules().unwrap(), ["ReJSON"]);
        assert_eq!(Info("db:x\r\n").modules(), None);
        assert_eq!(Info("db:x\r\n").highest_database(), None);
    }
}
