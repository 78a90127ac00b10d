//! A meter behind HTTP whose values a test can change.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct State {
    answers: Mutex<BTreeMap<String, String>>,
    is_hanging: AtomicBool,
}

/// A small HTTP server that answers each path with a text. Its thread ends with the test.
pub struct Meter {
    address: SocketAddr,
    state: Arc<State>,
}

impl Meter {
    /// Starts a meter that shows these watts.
    ///
    /// # Panics
    /// When the system refuses.
    #[must_use]
    pub fn start(generation: f64, consumption: f64) -> Meter {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the meter");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        let meter = Meter { address, state };
        meter.show(generation, consumption);
        meter
    }

    /// Its address in the words of the configuration.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Shows other watts from now on.
    pub fn show(&self, generation: f64, consumption: f64) {
        self.answer("/generation", &generation.to_string());
        self.answer("/consumption", &consumption.to_string());
    }

    /// Answers `path` with any text from now on.
    ///
    /// # Panics
    /// When another thread of the meter failed.
    pub fn answer(&self, path: &str, text: &str) {
        self.state.answers.lock().expect("the meter").insert(path.to_owned(), text.to_owned());
    }

    /// Accepts connections and says nothing, or goes on answering.
    pub fn hang(&self, is_hanging: bool) {
        self.state.is_hanging.store(is_hanging, Ordering::SeqCst);
    }
}

fn serve(mut stream: TcpStream, state: &State) {
    let Ok(copy) = stream.try_clone() else { return };
    let mut lines = BufReader::new(copy).lines();
    while let Some(Ok(request)) = lines.next() {
        for line in lines.by_ref().map_while(Result::ok) {
            if line.is_empty() {
                break;
            }
        }
        if state.is_hanging.load(Ordering::SeqCst) {
            continue;
        }
        let path = request.split(' ').nth(1).unwrap_or("/");
        let answer = state.answers.lock().expect("the meter").get(path).cloned();
        let (status, body) = answer.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}
