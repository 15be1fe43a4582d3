//! Behaves towards the harness as `wvs` does, so that `tests/director.rs` can prove the harness
//! without depending on what it is there to test: `run` serves HTTP at a Unix socket, any other
//! command prints its arguments and its network namespace as JSON.
//!
//! A configuration with the word `refuse` in it makes `run` fail.

use std::error::Error;
use std::io::{Read, Write, stderr, stdin, stdout};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("run") => run(&arguments),
        _ => command(&arguments),
    }
}

fn value(arguments: &[String], name: &str) -> Result<PathBuf, String> {
    let mut values = arguments.iter().skip_while(|argument| *argument != name).skip(1);
    values
        .next()
        .map(PathBuf::from)
        .ok_or_else(|| format!("{name} is missing"))
}

fn run(arguments: &[String]) -> Outcome {
    let config = std::fs::read_to_string(value(arguments, "--config")?)?;
    if config.contains("refuse") {
        return Err("the configuration is refused".into());
    }
    let starts = value(arguments, "--state-dir")?.join("starts");
    let start = std::fs::read_to_string(&starts).map_or(0, |text| text.len()) + 1;
    std::fs::write(&starts, "x".repeat(start))?;
    writeln!(stderr(), "start {start}")?;
    serve(&value(arguments, "--socket")?)
}

fn serve(socket: &Path) -> Outcome {
    // A killed predecessor has left its socket.
    let _ = std::fs::remove_file(socket);
    for connection in UnixListener::bind(socket)?.incoming() {
        let mut connection = connection?;
        let mut request = [0; 1024];
        if connection.read(&mut request)? > 0 {
            connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        }
    }
    Ok(())
}

fn command(arguments: &[String]) -> Outcome {
    UnixStream::connect(value(arguments, "--socket")?)?;
    let namespace = std::fs::read_link("/proc/self/ns/net")?;
    let mut input = String::new();
    stdin().read_to_string(&mut input)?;
    let answer = serde_json::json!({ "arguments": arguments, "namespace": namespace, "input": input });
    writeln!(stdout(), "{answer}")?;
    Ok(())
}
