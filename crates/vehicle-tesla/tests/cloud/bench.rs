//! A source against the simulated cloud.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tesla_simulator::{ALL_SCOPES, CLIENT_ID, CLIENT_SECRET, Cloud, CloudBuilder, Running};
use vehicle::{Answer, Ask, CarKey, Outcome, Report, Request, Spent, Trouble, VehicleListener, VehicleSource, Vin};
use vehicle_tesla::{Account, App, DEFAULT_SCOPE, Hosts, MemoryStore, Pace, Region, Settings, TokenStore, Tokens};

pub const VIN: &str = "5YJ30123456789ABC";
pub const OLD: &str = "5YJSA1E20FF000001";
pub const REDIRECT: &str = "https://cars.example.org/teslaAccount/callback";
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn car(vin: &str) -> CarKey {
    CarKey::Vin(Vin::parse(vin).unwrap())
}

/// The real time at which the virtual clock stands, so that tokens are good now.
pub fn cloud() -> CloudBuilder {
    Cloud::builder().starts_at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

pub fn settings(cloud: &Running, folder: &TempDir) -> Settings {
    let app = App {
        client_id: Some(CLIENT_ID.into()),
        client_secret: Some(CLIENT_SECRET.into()),
        redirect_uri: Some(REDIRECT.into()),
        scope: DEFAULT_SCOPE.into(),
    };
    let mut settings = Settings::new(app, Region::Europe, Some(folder.path().into()));
    settings.hosts = Hosts { api: Some(cloud.api_url()), auth: Some(cloud.auth_url()), ..Hosts::default() };
    settings.pace = Pace { wake_poll: Duration::from_millis(20), ..Pace::default() };
    settings
}

pub struct Ear {
    answers: Mutex<Sender<Answer>>,
    pub reports: Mutex<Vec<Report>>,
    pub troubles: Mutex<Vec<Option<Trouble>>>,
    trouble_bell: Mutex<Sender<Option<Trouble>>>,
}

impl VehicleListener for Ear {
    fn report(&self, report: Report) {
        self.reports.lock().unwrap().push(report);
    }

    fn answered(&self, answer: Answer) {
        let _ = self.answers.lock().unwrap().send(answer);
    }

    fn trouble(&self, source: &str, trouble: Option<Trouble>) {
        assert_eq!(source, "TeslaAPI");
        self.troubles.lock().unwrap().push(trouble.clone());
        let _ = self.trouble_bell.lock().unwrap().send(trouble);
    }
}

pub struct Bench {
    pub source: Option<Arc<dyn VehicleSource>>,
    pub account: Account,
    pub cloud: Running,
    pub folder: TempDir,
    pub store: Arc<MemoryStore>,
    pub ear: Arc<Ear>,
    answers: Receiver<Answer>,
    pub trouble_news: Receiver<Option<Trouble>>,
    pub spent: Spent,
    next: u64,
}

impl Bench {
    /// Signed in, with a key of ours that the cars named have.
    pub fn start(cloud: Running, paired: &[&str]) -> Bench {
        Bench::with(cloud, paired, |_| {})
    }

    pub fn with(cloud: Running, paired: &[&str], change: impl FnOnce(&mut Settings)) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&cloud, &folder);
        change(&mut settings);
        let given = cloud.log_in(ALL_SCOPES);
        let tokens = Tokens { access: given.access, refresh: given.refresh, expires: None };
        let store = Arc::new(MemoryStore::new(Some(tokens)));
        let account = Account::new(settings, Arc::clone(&store) as Arc<dyn TokenStore>);
        account.create_key().unwrap();
        let pem = account.public_key_pem().unwrap().unwrap();
        cloud.with(|cloud| {
            cloud.host_key("cars.example.org", &pem);
            for vin in paired {
                assert!(cloud.pair("cars.example.org", Some(vin)));
            }
        });
        Bench::of(cloud, account, folder, store)
    }

    fn of(cloud: Running, account: Account, folder: TempDir, store: Arc<MemoryStore>) -> Bench {
        let ((answers_in, answers), (troubles_in, trouble_news)) = (channel(), channel());
        let ear = Arc::new(Ear {
            answers: Mutex::new(answers_in),
            reports: Mutex::default(),
            troubles: Mutex::default(),
            trouble_bell: Mutex::new(troubles_in),
        });
        let source = vehicle_tesla::open(&account, Arc::clone(&ear) as Arc<dyn VehicleListener>).unwrap();
        let (spent, next) = (Spent::NOTHING, 0);
        Bench { source: Some(source), account, cloud, folder, store, ear, answers, trouble_news, spent, next }
    }

    /// The program ends and starts again with the same folder and tokens.
    pub fn restart(mut self) -> Bench {
        self.source = None;
        let settings = Settings::clone(&self.account.settings());
        let account = Account::new(settings, Arc::clone(&self.store) as Arc<dyn TokenStore>);
        let spent = self.spent;
        Bench { spent, ..Bench::of(self.cloud, account, self.folder, self.store) }
    }

    pub fn send(&mut self, vin: &str, request: Request) -> u64 {
        self.next += 1;
        self.source.as_ref().unwrap().ask(Ask { id: self.next, car: car(vin), request });
        self.next
    }

    pub fn answer(&mut self) -> Answer {
        let answer = self.answers.recv_timeout(PATIENCE).expect("an answer");
        self.spent += answer.spent;
        answer
    }

    pub fn has_answer(&self) -> bool {
        self.answers.try_recv().is_ok()
    }

    pub fn ask(&mut self, vin: &str, request: Request) -> Outcome {
        let id = self.send(vin, request);
        let answer = self.answer();
        assert_eq!((answer.id, &answer.car), (id, &car(vin)));
        answer.outcome
    }

    pub fn trouble(&self) -> Option<Trouble> {
        self.ear.troubles.lock().unwrap().last().cloned().flatten()
    }

    /// Waits until such a trouble is told.
    pub fn await_trouble(&self, code: &str) -> Trouble {
        loop {
            let news = self.trouble_news.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no trouble {code}"));
            if let Some(trouble) = news.filter(|trouble| trouble.code == code) {
                return trouble;
            }
        }
    }

    pub fn count(&self, path_end: &str) -> usize {
        self.cloud.log().iter().filter(|asked| asked.path.ends_with(path_end)).count()
    }

    /// What the cloud billed is what the answers said.
    pub fn assert_billed(&self) {
        let billed = self.cloud.billing().total;
        let said = self.spent;
        assert_eq!(
            (billed.commands, billed.data, billed.wakes),
            (u64::from(said.commands), u64::from(said.data), u64::from(said.wakes))
        );
    }
}
