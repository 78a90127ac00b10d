//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};

/// What `--help` prints.
pub const HELP: &str = "\
Charges electric cars at home from what the house, the sun and the grid can spare.

Usage: twcmanager [COMMAND] [OPTIONS]

Commands:
  run            Charge by the configuration (what happens without a command)
  demo           Show it with simulated connectors and a simulated sun; needs no hardware
  check          Check the configuration, then read every enabled energy source once and look at the logs
  passwd         Set the password of the page; a running program uses it at once
  import         Show what an older TWCManager left behind; --apply brings its past into the journal
  policy explain Show which policy holds at a moment, why, and why the others do not
  tesla setup    Show what is done and what is missing for the access to Tesla's cloud, and take the steps
  tesla pair-bluetooth VIN  Ask a car to take our key over Bluetooth; a person confirms in the car
  tesla cars     List the cars of the account at Tesla's (costs two data calls)
  simulate-bus   Run simulated connectors for another controller to steer
  decode HEX...  Explain frames of the Gen 2 load-sharing bus

Options of run, check, passwd and policy explain:
  --config FILE        Configuration [default: /etc/twcmanager/config.json, else ./config.json]

Options of check:
  --json               Print the result as JSON
  --ems NAME           Read this source only
  --record DIR         Save what each device answered, secrets removed
  --replay DIR         Read from such a folder instead of the devices

Options of passwd:
  --remove             Remove the password, and with it all tokens of programs

Options of import (and --config, as above):
  --from DIR           Folder to look in, such as a backup [default: where the configuration says]
  --apply              Write charging sessions and history into the journal; nothing of the old is changed

Options of tesla setup (and --config, as above):
  --create-key         Make the key pair that commands are signed with; an existing one stays
  --register DOMAIN    Register the application with the domain that the public key is published on
  --login              Sign in: prints the address to open, and takes what is pasted back
  --region NA|EU|CN    Region to sign in to [default: config.teslaApiRegion]
  --paste ADDRESS      Finish a sign-in that was begun with --login less than ten minutes ago

Options of policy explain:
  --at TIME            Local time, such as 2026-08-20T22:30, or 22:30 for today [default: now]
  --json               Print the result as JSON

Options of demo:
  --port PORT          Port of the page on 127.0.0.1 [default: 8088]

Options of simulate-bus:
  --listen ADDR:PORT   Serve the bus over TCP, such as 127.0.0.1:4000
  --pty PATH           Serve the bus on a pseudo-terminal linked at PATH
  --connectors N       Number of connectors [default: 3]
  --seed N             Seed of all that is random [default: 1]

  -v, --verbose        More log lines; twice for the traffic on the bus
  -h, --help           This text
  -V, --version        The version

Exit codes: 0 all is well, 1 something failed, 2 the configuration or the command line cannot be used.
";

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// What to do.
    pub command: Command,
    /// 0 normal, 1 debug, 2 trace.
    pub verbosity: u8,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Charge by the configuration.
    Run {
        /// The file, when named.
        config: Option<PathBuf>,
    },
    /// Simulated connectors and sun.
    Demo {
        /// Port on the loopback address.
        port: u16,
    },
    /// Check configuration and sources.
    Check(CheckArgs),
    /// Set the password of the page.
    Passwd {
        /// The file, when named.
        config: Option<PathBuf>,
        /// Whether to remove it.
        removes: bool,
    },
    /// Set up the access to Tesla's cloud.
    Tesla(TeslaArgs),
    /// Look at an older program's files.
    Import(ImportArgs),
    /// Explain which policy holds.
    Explain(ExplainArgs),
    /// Simulated connectors alone.
    SimulateBus {
        /// Over what.
        link: SimulatedLink,
        /// How many connectors.
        connectors: u16,
        /// Seed of all that is random.
        seed: u64,
    },
    /// Explain frames.
    Decode {
        /// The frames as text.
        hex: Vec<String>,
    },
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Options of `check`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckArgs {
    /// The file, when named.
    pub config: Option<PathBuf>,
    /// Whether to print JSON.
    pub json: bool,
    /// Only this source.
    pub ems: Option<String>,
    /// Where to save what devices answer.
    pub record: Option<PathBuf>,
    /// Where to read answers from.
    pub replay: Option<PathBuf>,
}

/// Options of `import`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportArgs {
    /// The file, when named.
    pub config: Option<PathBuf>,
    /// The folder to look in.
    pub from: Option<PathBuf>,
    /// Whether to write into the journal.
    pub apply: bool,
}

/// Options of `tesla`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TeslaArgs {
    /// The file, when named.
    pub config: Option<PathBuf>,
    /// Whether to list the cars instead of setting up.
    pub lists_cars: bool,
    /// Whether to make the key pair.
    pub creates_key: bool,
    /// The domain to register.
    pub registers: Option<String>,
    /// Whether to sign in.
    pub logs_in: bool,
    /// The region to sign in to.
    pub region: Option<String>,
    /// What came back from Tesla's page.
    pub pastes: Option<String>,
    /// The car that shall take our key over Bluetooth, instead of setting up.
    pub pairs: Option<String>,
}

/// Options of `policy explain`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExplainArgs {
    /// The file, when named.
    pub config: Option<PathBuf>,
    /// When; now unless named.
    pub at: Option<String>,
    /// Whether to print JSON.
    pub json: bool,
}

/// How a simulated bus is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimulatedLink {
    /// TCP.
    Tcp(SocketAddr),
    /// A pseudo-terminal linked at a path.
    Pty(PathBuf),
}

/// Parses the arguments that follow the program's name.
///
/// # Errors
/// A sentence that says what is wrong with them.
pub fn parse(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Args, String> {
    read(lexopt::Parser::from_args(args)).map_err(|error| format!("{error}; `twcmanager --help` lists what there is"))
}

fn read(mut parser: lexopt::Parser) -> Result<Args, lexopt::Error> {
    let mut name: Option<String> = None;
    let mut verbosity: u8 = 0;
    let mut check = CheckArgs::default();
    let mut port = 8088;
    let mut link = None;
    let (mut connectors, mut seed) = (3, 1);
    let mut hex = Vec::new();
    let (mut at, mut explains) = (None, false);
    let mut import = ImportArgs::default();
    let mut removes = false;
    let (mut tesla, mut tesla_does) = (TeslaArgs::default(), None);
    while let Some(arg) = parser.next()? {
        let command = name.as_deref().unwrap_or("run");
        match arg {
            Short('h') | Long("help") => return Ok(Args { command: Command::Help, verbosity }),
            Short('V') | Long("version") => return Ok(Args { command: Command::Version, verbosity }),
            Short('v') | Long("verbose") => verbosity = verbosity.saturating_add(1),
            Long("config") if matches!(command, "run" | "check" | "passwd" | "policy" | "import" | "tesla") => {
                check.config = Some(parser.value()?.into())
            }
            Long("json") if matches!(command, "check" | "policy") => check.json = true,
            Long("ems") if command == "check" => check.ems = Some(parser.value()?.string()?),
            Long("record") if command == "check" => check.record = Some(parser.value()?.into()),
            Long("replay") if command == "check" => check.replay = Some(parser.value()?.into()),
            Long("remove") if command == "passwd" => removes = true,
            Long("create-key") if command == "tesla" => tesla.creates_key = true,
            Long("register") if command == "tesla" => tesla.registers = Some(parser.value()?.string()?),
            Long("login") if command == "tesla" => tesla.logs_in = true,
            Long("region") if command == "tesla" => tesla.region = Some(parser.value()?.string()?),
            Long("paste") if command == "tesla" => tesla.pastes = Some(parser.value()?.string()?),
            Long("from") if command == "import" => import.from = Some(parser.value()?.into()),
            Long("apply") if command == "import" => import.apply = true,
            Long("at") if command == "policy" => at = Some(parser.value()?.string()?),
            Long("port") if command == "demo" => port = parser.value()?.parse()?,
            Long("listen") if command == "simulate-bus" => link = Some(SimulatedLink::Tcp(parser.value()?.parse()?)),
            Long("pty") if command == "simulate-bus" => link = Some(SimulatedLink::Pty(parser.value()?.into())),
            Long("connectors") if command == "simulate-bus" => connectors = parser.value()?.parse()?,
            Long("seed") if command == "simulate-bus" => seed = parser.value()?.parse()?,
            Value(value) if name.is_none() => name = Some(value.string()?),
            Value(value) if command == "policy" && !explains && value == "explain" => explains = true,
            Value(value) if command == "tesla" && tesla_does.is_none() => tesla_does = Some(value.string()?),
            Value(value) if tesla_does.as_deref() == Some("pair-bluetooth") && tesla.pairs.is_none() => {
                tesla.pairs = Some(value.string()?);
            }
            Value(value) if command == "decode" => hex.push(value.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let command = match name.as_deref() {
        None | Some("run") => Command::Run { config: check.config },
        Some("demo") => Command::Demo { port },
        Some("check") if check.record.is_some() && check.replay.is_some() => {
            return Err("--record and --replay exclude each other".into());
        }
        Some("check") => Command::Check(check),
        Some("passwd") => Command::Passwd { config: check.config, removes },
        Some("import") => Command::Import(ImportArgs { config: check.config, ..import }),
        Some("tesla") => {
            let lists_cars = match tesla_does.as_deref() {
                Some("setup") => false,
                Some("cars") if tesla == TeslaArgs::default() => true,
                Some("cars") => return Err("tesla cars takes no option but --config".into()),
                Some("pair-bluetooth") if tesla.pairs.is_none() => {
                    return Err("tesla pair-bluetooth needs a VIN".into());
                }
                Some("pair-bluetooth")
                    if tesla == (TeslaArgs { pairs: tesla.pairs.clone(), ..TeslaArgs::default() }) =>
                {
                    false
                }
                Some("pair-bluetooth") => return Err("tesla pair-bluetooth takes no option but --config".into()),
                _ => return Err("tesla needs `setup`, `cars` or `pair-bluetooth` after it".into()),
            };
            Command::Tesla(TeslaArgs { config: check.config, lists_cars, ..tesla })
        }
        Some("policy") if !explains => return Err("policy needs `explain` after it".into()),
        Some("policy") => Command::Explain(ExplainArgs { config: check.config, at, json: check.json }),
        Some("simulate-bus") if connectors == 0 => return Err("--connectors needs at least 1".into()),
        Some("simulate-bus") => {
            let link = link.ok_or("simulate-bus needs --listen ADDR:PORT or --pty PATH")?;
            Command::SimulateBus { link, connectors, seed }
        }
        Some("decode") if hex.is_empty() => return Err("decode needs the bytes of a frame in hex".into()),
        Some("decode") => Command::Decode { hex },
        Some(other) => return Err(format!("there is no command `{other}`").into()),
    };
    Ok(Args { command, verbosity })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, String> {
        parse(line.split_whitespace().map(Into::into))
    }

    #[test]
    fn without_a_command_it_runs() {
        assert_eq!(parsed("").unwrap().command, Command::Run { config: None });
        let with_config = parsed("--config a.json -vv").unwrap();
        assert_eq!(with_config, Args { command: Command::Run { config: Some("a.json".into()) }, verbosity: 2 });
    }

    #[test]
    fn options_belong_to_their_command() {
        assert!(parsed("demo --json").unwrap_err().contains("--json"));
        assert_eq!(parsed("demo --port 9000").unwrap().command, Command::Demo { port: 9000 });
    }

    #[test]
    fn a_password_is_set_or_removed() {
        let passwd = |removes| Command::Passwd { config: None, removes };
        assert_eq!(parsed("passwd").unwrap().command, passwd(false));
        assert_eq!(parsed("passwd --remove").unwrap().command, passwd(true));
        assert!(parsed("run --remove").is_err() && parsed("passwd secret").is_err(), "never on the command line");
    }

    #[test]
    fn an_import_looks_unless_it_is_told_to_write() {
        assert_eq!(parsed("import").unwrap().command, Command::Import(ImportArgs::default()));
        let args = ImportArgs { config: Some("c".into()), from: Some("d".into()), apply: true };
        assert_eq!(parsed("import --from d --config c --apply").unwrap().command, Command::Import(args));
    }

    #[test]
    fn teslas_cloud_is_set_up() {
        let args = TeslaArgs { registers: Some("cars.example.org".into()), creates_key: true, ..TeslaArgs::default() };
        let line = "tesla setup --create-key --register cars.example.org";
        assert_eq!(parsed(line).unwrap().command, Command::Tesla(args));
        let cars = TeslaArgs { lists_cars: true, config: Some("c".into()), ..TeslaArgs::default() };
        assert_eq!(parsed("tesla cars --config c").unwrap().command, Command::Tesla(cars));
        assert!(parsed("tesla").unwrap_err().contains("setup"));
        let pair = TeslaArgs { pairs: Some("5YJ30123456789ABC".into()), ..TeslaArgs::default() };
        assert_eq!(parsed("tesla pair-bluetooth 5YJ30123456789ABC").unwrap().command, Command::Tesla(pair));
        assert!(parsed("tesla pair-bluetooth").unwrap_err().contains("VIN"));
        assert!(parsed("tesla pair-bluetooth V W").is_err() && parsed("tesla pair-bluetooth V --login").is_err());
        assert!(parsed("tesla cars --login").is_err() && parsed("run --login").is_err());
    }

    #[test]
    fn a_policy_is_explained() {
        let explain = parsed("policy explain --at 22:30 --json").unwrap().command;
        assert_eq!(explain, Command::Explain(ExplainArgs { config: None, at: Some("22:30".into()), json: true }));
        assert!(parsed("policy").unwrap_err().contains("explain"));
    }

    #[test]
    fn mistakes_say_what_is_needed() {
        assert!(parsed("simulate-bus").unwrap_err().contains("--listen"));
        assert!(parsed("dance").unwrap_err().contains("dance"));
        assert!(parsed("check --record a --replay b").unwrap_err().contains("exclude"));
    }
}
