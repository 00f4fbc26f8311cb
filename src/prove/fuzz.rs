//! Entry point for fuzzing the reader of traces; see `crate::fuzz`.

use super::trace;

/// Lines of strace.
pub(crate) fn strace(bytes: &[u8]) {
    let most = bytes.len() as u64;
    let _read = trace::read(bytes, most, &mut |call| {
        let _path = trace::path(call.arguments);
        let _socket = trace::socket(call.arguments);
    });
}
