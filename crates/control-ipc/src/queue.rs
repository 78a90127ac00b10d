//! The kernel's message queues: the one place of this program with `unsafe` code of its own.
//!
//! Four calls of the C library have no safe wrapper in `std`, `rustix` or another well-kept crate: `msgget`, `msgsnd`,
//! `msgrcv` and, for tests, `msgctl`. Each is called in one function here, on a buffer of fixed size that lives on the stack
//! of that function. A queue's number is a plain number: one that is wrong or whose queue is gone gives an error, never
//! undefined behaviour.

#![allow(unsafe_code, reason = "the calls of a message queue; see above")]

use std::ffi::{c_int, c_long};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Type of a message.
pub(crate) type Kind = c_long;

/// The letter of TWCManager's key.
const PROJECT: u8 = b'T';
/// Readable and writable for everybody, as the old page needs it.
const MODE: c_int = 0o666;
/// Room for a message. More than any of ours has, so that one that is too long is seen to be.
const ROOM: usize = 512;

/// A message as the C library takes and gives it: `struct msgbuf` with room for the content.
#[repr(C)]
struct Buffer {
    kind: c_long,
    content: [u8; ROOM],
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its type.
    pub kind: Kind,
    /// Its content, cut at [`ROOM`].
    pub content: Vec<u8>,
}

/// Which messages to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The oldest of this type.
    Only(Kind),
    /// The oldest of any other type.
    AllBut(Kind),
}

/// The key of the queue that belongs to a folder: what `ftok` gives for it and the letter `T`.
///
/// # Errors
/// When the folder cannot be looked at.
pub(crate) fn key_of(folder: &Path) -> io::Result<i32> {
    let metadata = std::fs::metadata(folder)?;
    // The low byte of the device and the low two of the inode; all C libraries on Linux have it so.
    let [device, ..] = metadata.dev().to_le_bytes();
    let [low, high, ..] = metadata.ino().to_le_bytes();
    Ok(i32::from_le_bytes([low, high, device, PROJECT]))
}

/// A queue of the kernel. It is not closed when this is dropped: queues outlive programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queue {
    id: c_int,
}

impl Queue {
    /// The queue of a key, made if there is none.
    ///
    /// # Errors
    /// When there is one that we may not use, or none can be made.
    pub fn open(key: i32) -> io::Result<Queue> {
        // SAFETY: `msgget` takes two numbers and touches no memory of this program.
        let id = unsafe { libc::msgget(key, libc::IPC_CREAT | MODE) };
        if id < 0 { Err(io::Error::last_os_error()) } else { Ok(Queue { id }) }
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// When the queue goes away, which [`is_gone`] tells, or a signal comes.
    pub fn receive(self, wanted: Wanted) -> io::Result<Message> {
        self.take(wanted, 0)
    }

    /// A message that waits already.
    ///
    /// # Errors
    /// When the queue has gone, which [`is_gone`] tells.
    pub fn try_receive(self, wanted: Wanted) -> io::Result<Option<Message>> {
        match self.take(wanted, libc::IPC_NOWAIT) {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.raw_os_error() == Some(libc::ENOMSG) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn take(self, wanted: Wanted, flags: c_int) -> io::Result<Message> {
        let (kind, flags) = match wanted {
            Wanted::Only(kind) => (kind, flags),
            Wanted::AllBut(kind) => (kind, flags | libc::MSG_EXCEPT),
        };
        let mut buffer = Buffer { kind: 0, content: [0; ROOM] };
        let place = (&raw mut buffer).cast();
        // SAFETY: `place` points at a `Buffer` of this function, which has the layout of `struct msgbuf` (`repr(C)`, the type
        // first) and `ROOM` bytes after the type. `msgrcv` writes the type and at most the given `ROOM` bytes: a longer message
        // is cut (`MSG_NOERROR`). Every bit pattern is valid in both fields. Nobody else uses the buffer meanwhile.
        let length = unsafe { libc::msgrcv(self.id, place, ROOM, kind, flags | libc::MSG_NOERROR) };
        // Negative for an error.
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let content = buffer.content.get(..length).unwrap_or(&buffer.content).to_vec();
        Ok(Message { kind: buffer.kind, content })
    }

    /// Sends without waiting; `false` when the queue is full.
    ///
    /// # Errors
    /// When the queue has gone, which [`is_gone`] tells, or takes no such message.
    pub fn send(self, kind: Kind, content: &[u8]) -> io::Result<bool> {
        let mut buffer = Buffer { kind, content: [0; ROOM] };
        let Some(room) = buffer.content.get_mut(..content.len()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        room.copy_from_slice(content);
        let place = (&raw const buffer).cast();
        // SAFETY: `place` points at a `Buffer` of this function, which has the layout of `struct msgbuf` (`repr(C)`, the type
        // first). `msgsnd` reads the type and `content.len()` bytes after it, of which there are `ROOM` or fewer: checked above.
        let code = unsafe { libc::msgsnd(self.id, place, content.len(), libc::IPC_NOWAIT) };
        if code == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::EAGAIN) { Ok(false) } else { Err(error) }
    }

    /// Removes the queue from the kernel, with all that waits in it.
    ///
    /// # Errors
    /// When it belongs to somebody else.
    #[cfg(any(test, feature = "testing"))]
    pub fn remove(self) -> io::Result<()> {
        // SAFETY: for `IPC_RMID`, `msgctl` ignores its pointer; null is what the manual gives.
        let code = unsafe { libc::msgctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Whether the queue is there no more.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIDRM | libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// A queue of its own, removed at the end.
    struct Rig {
        _folder: tempfile::TempDir,
        queue: Queue,
    }

    impl Rig {
        fn new() -> Rig {
            let folder = tempfile::tempdir().unwrap();
            let queue = Queue::open(key_of(folder.path()).unwrap()).unwrap();
            Rig { _folder: folder, queue }
        }
    }

    impl Drop for Rig {
        fn drop(&mut self) {
            let _gone_already = self.queue.remove();
        }
    }

    #[test]
    fn the_key_is_that_of_the_c_library() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/"), Path::new("/dev")] {
            let c_path = CString::new(path.as_os_str().as_bytes()).unwrap();
            // SAFETY: the path is a C string that outlives the call.
            let expected = unsafe { libc::ftok(c_path.as_ptr(), c_int::from(PROJECT)) };
            assert_eq!(key_of(path).unwrap(), expected, "{}", path.display());
        }
        assert!(key_of(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn messages_come_out_by_type_in_order() {
        let rig = Rig::new();
        for (kind, content) in [(1, &b"a"[..]), (2, b"b"), (7, b""), (1, b"c")] {
            assert!(rig.queue.send(kind, content).unwrap());
        }
        let message = |kind, content: &[u8]| Message { kind, content: content.to_vec() };
        assert_eq!(rig.queue.receive(Wanted::AllBut(1)).unwrap(), message(2, b"b"));
        assert_eq!(rig.queue.receive(Wanted::AllBut(1)).unwrap(), message(7, b""));
        assert_eq!(rig.queue.try_receive(Wanted::AllBut(1)).unwrap(), None);
        assert_eq!(rig.queue.receive(Wanted::Only(1)).unwrap(), message(1, b"a"));
        assert_eq!(rig.queue.receive(Wanted::Only(1)).unwrap(), message(1, b"c"));
        assert_eq!(rig.queue.try_receive(Wanted::Only(1)).unwrap(), None);
    }

    #[test]
    fn a_full_queue_takes_no_more() {
        let rig = Rig::new();
        let mut sent = 0;
        while rig.queue.send(1, &[7; ROOM]).unwrap() {
            sent += 1;
            assert!(sent < 100_000, "a queue has an end");
        }
        assert!(sent > 0);
        assert!(rig.queue.send(1, &[0; ROOM + 1]).is_err(), "longer than any of ours");
    }

    #[test]
    fn a_queue_that_is_gone_is_told_apart() {
        let rig = Rig::new();
        rig.queue.remove().unwrap();
        for error in [
            rig.queue.send(1, b"x").unwrap_err(),
            rig.queue.receive(Wanted::Only(1)).unwrap_err(),
            rig.queue.try_receive(Wanted::Only(1)).unwrap_err(),
        ] {
            assert!(is_gone(&error), "{error}");
        }
    }
}
