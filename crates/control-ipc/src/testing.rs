//! The other end of the queue, for tests: asks as the old PHP page does.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::packet::{self, Mark, REPLY, REQUEST};
use crate::queue::{self, Queue, Wanted};

/// How often the page looks for its reply.
const LOOK: Duration = Duration::from_millis(20);

/// The page. Removes the queue when it is dropped, which the page does not.
#[derive(Debug)]
pub struct Page {
    queue: Queue,
    id: u16,
}

impl Page {
    /// Opens the queue of a folder.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(folder: &Path) -> io::Result<Page> {
        Ok(Page { queue: Queue::open(queue::key_of(folder)?)?, id: 100 })
    }

    /// Sends a request without a reply.
    ///
    /// # Errors
    /// When the queue has gone or is full.
    pub fn command(&self, text: &str) -> io::Result<()> {
        self.request(Mark { time: 1, id: 0 }, text)
    }

    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// When the queue has gone, or nothing comes within `patience`.
    pub fn query(&mut self, text: &str, patience: Duration) -> io::Result<String> {
        let mark = self.ask(text)?;
        Ok(String::from_utf8_lossy(&self.reply(mark, patience)?).into_owned())
    }

    /// Asks for a long text, and puts its packets together.
    ///
    /// # Errors
    /// When the queue has gone, or a packet does not come within `patience`.
    pub fn long_query(&mut self, text: &str, patience: Duration) -> io::Result<String> {
        let mark = self.ask(text)?;
        let count = self.reply(mark, patience)?.first().copied().unwrap_or_default();
        let mut whole = Vec::new();
        for _ in 0..count {
            whole.extend(self.reply(mark, patience)?);
        }
        Ok(String::from_utf8_lossy(&whole).into_owned())
    }

    /// Puts a message of any type and content into the queue; `false` when it is full.
    ///
    /// # Errors
    /// When the queue has gone.
    pub fn put(&self, kind: std::ffi::c_long, content: &[u8]) -> io::Result<bool> {
        self.queue.send(kind, content)
    }

    /// Removes the queue, as `ipcrm` does.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove(&self) -> io::Result<()> {
        self.queue.remove()
    }

    fn ask(&mut self, text: &str) -> io::Result<Mark> {
        self.id += 1;
        let mark = Mark { time: 1_700_000_000, id: self.id };
        self.request(mark, text).map(|()| mark)
    }

    fn request(&self, mark: Mark, text: &str) -> io::Result<()> {
        let is_sent = self.queue.send(REQUEST, &packet::encode(mark, text.as_bytes()))?;
        if is_sent { Ok(()) } else { Err(io::Error::other("the queue is full")) }
    }

    /// The text of the next reply with this mark; those of others are dropped.
    fn reply(&self, mark: Mark, patience: Duration) -> io::Result<Vec<u8>> {
        let head = packet::encode(mark, b"");
        let until = Instant::now() + patience;
        while Instant::now() < until {
            match self.queue.try_receive(Wanted::Only(REPLY))? {
                Some(message) => {
                    if let Some(text) = message.content.strip_prefix(head.as_slice()) {
                        return Ok(text.to_vec());
                    }
                }
                None => std::thread::sleep(LOOK),
            }
        }
        Err(io::Error::from(io::ErrorKind::TimedOut))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _gone_already = self.queue.remove();
    }
}
