//! Objects as users write them, and changes to them by path.

use serde_json::{Value, json};

/// Standalone sites at an address where nobody answers, and a pod that no node takes.
pub(crate) fn standalone(name: &str) -> Value {
    json!({
        "apiVersion": "redissync.dev/v1alpha1",
        "kind": "RedisSync",
        "metadata": {"name": name},
        "spec": {
            "primary": "beijing",
            "sites": [
                {"name": "beijing", "standalone": {"address": "127.0.0.1:9"}},
                {"name": "shanghai", "standalone": {"address": "127.0.0.1:10"}}
            ],
            "syncer": {"template": {"nodeSelector": {"redissync.dev/nowhere": "true"}}}
        }
    })
}

/// Sentinel sites whose sentinels refuse connections.
pub(crate) fn sentinel(name: &str) -> Value {
    let mut object = standalone(name);
    for (index, port) in [(0, 19), (1, 20)] {
        let site = &mut object["spec"]["sites"][index];
        *site = json!({
            "name": site["name"],
            "sentinel": {"masterName": "orders", "endpoints": [format!("127.0.0.1:{port}")]}
        });
    }
    object
}

/// Sets what stands at each path of a YAML map; `null` takes it away, `(null)` is one that is written, `-` at a path's end
/// adds to a list.
pub(crate) fn change(object: &mut Value, changes: &str) {
    let changes: serde_json::Map<String, Value> =
        serde_yaml::from_str(changes).unwrap_or_else(|err| panic!("{changes}: {err}"));
    for (path, mut value) in changes {
        let is_removal = value.is_null();
        write_nulls(&mut value);
        set(object, &path, (!is_removal).then_some(value));
    }
}

fn write_nulls(value: &mut Value) {
    match value {
        Value::String(text) if text == "(null)" => *value = Value::Null,
        Value::Array(list) => list.iter_mut().for_each(write_nulls),
        Value::Object(map) => map.values_mut().for_each(write_nulls),
        _ => {}
    }
}

fn set(object: &mut Value, path: &str, value: Option<Value>) {
    let (parents, last) = path.rsplit_once('/').expect("a path begins with /");
    let mut place = object;
    for part in parents.split('/').skip(1) {
        place = match place {
            Value::Array(list) => &mut list[part.parse::<usize>().expect("an index")],
            Value::Null => {
                *place = json!({});
                &mut place[part]
            }
            _ => &mut place[part],
        };
    }
    match (place, value) {
        (Value::Array(list), Some(value)) if last == "-" => list.push(value),
        (Value::Array(list), value) => {
            let index = last.parse::<usize>().expect("an index");
            match value {
                Some(value) => list[index] = value,
                None => drop(list.remove(index)),
            }
        }
        (Value::Object(map), None) => drop(map.remove(last)),
        (place, value) => place[last] = value.unwrap_or_default(),
    }
}
