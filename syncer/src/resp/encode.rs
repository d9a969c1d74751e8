//! Commands as bytes: an array of bulk strings, appended to a buffer that the caller keeps.

/// Appends a bulk string's header (`$<len>\r\n`); the content and a CR LF are to follow.
pub fn bulk_header(out: &mut Vec<u8>, length: usize) {
    header(out, b'$', length);
}

/// Appends a command's header (`*<count>\r\n`); that many bulk strings are to follow.
pub fn array_header(out: &mut Vec<u8>, count: usize) {
    header(out, b'*', count);
}

fn header(out: &mut Vec<u8>, kind: u8, number: usize) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends one bulk string.
pub fn bulk(out: &mut Vec<u8>, content: &[u8]) {
    bulk_header(out, content.len());
    out.extend_from_slice(content);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number as a bulk string.
pub fn bulk_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    bulk(out, itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a whole command.
pub fn command<A: AsRef<[u8]>>(out: &mut Vec<u8>, arguments: &[A]) {
    array_header(out, arguments.len());
    for argument in arguments {
        bulk(out, argument.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = Vec::new();
        command(&mut out, &[b"SET".as_slice(), b"", b"a\r\nb"]);
        bulk_number(&mut out, -7_i64);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n$2\r\n-7\r\n");
    }
}
