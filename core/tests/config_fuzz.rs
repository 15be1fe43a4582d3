//! Wrong files by the thousand: reading one never panics, and every fault points into the text.
//!
//! `WVS_FUZZ_CASES` says how many files are tried, `WVS_FUZZ_SEED` where to begin. A file that fails is kept
//! in the corpus, which every run replays first.

#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use wvs_core::config::check::AnyPlugin;
use wvs_core::config::read::{LARGEST_FILE, read_bytes};
use wvs_core::config::{check, read, sample, to_toml};

const CASES: u64 = 20_000;
/// Rendering costs several times what reading does, so not every file is rendered.
const RENDERED: u64 = 8;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

/// The files of the corpus, and of the faults.
fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let mut seeds = vec![(PathBuf::from("sample"), sample::default_file().into_bytes())];
    for folder in [folder(), folder().join("corpus")] {
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        seeds.extend(files.map(|path| (path.clone(), std::fs::read(path).unwrap())));
    }
    seeds.sort();
    seeds
}

/// What holds for every text.
fn hold(bytes: &[u8], render: bool) {
    let (text, result) = read_bytes(bytes.to_vec(), &AnyPlugin);
    let faults = match result {
        Ok(config) => {
            assert!(check(&config).is_empty(), "a configuration that was read breaks rules");
            let written = to_toml(&config);
            assert_eq!(
                read(&written).as_ref(),
                Ok(&config),
                "what was written reads differently:\n{written}"
            );
            return;
        }
        Err(faults) => faults,
    };
    assert!(!faults.faults.is_empty());
    for fault in &faults.faults {
        assert!(!fault.message.is_empty());
        let related = fault.related.as_ref().map(|related| &related.span);
        for span in fault.span.iter().chain(related) {
            assert!(text.get(span.clone()).is_some(), "{span:?} is no part of the text");
        }
        if let (Some(span), Some(position)) = (&fault.span, fault.position) {
            let line = text.lines().nth(position.line - 1).unwrap_or_default();
            assert!(
                position.column <= line.chars().count() + 2,
                "{position:?} of {span:?} is outside its line"
            );
        }
    }
    if render {
        let shown = faults.render("wvs.toml", &text, bytes.len().is_multiple_of(2));
        assert!(shown.contains("error"), "{shown}");
    }
}

/// splitmix64: a fixed sequence of its own, so that a case is known by its number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Texts that mean something here, or to TOML.
const WORDS: [&str; 60] = [
    "[[service]]",
    "[[service.backend]]",
    "[service]",
    "[service.manage_vip]",
    "[director]",
    "[[",
    "]]",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "=",
    ".",
    ",",
    "#",
    "\n",
    "\r\n",
    "\r",
    "\0",
    "\u{feff}",
    "\u{1f980}",
    "é",
    "\\",
    "\\u0000",
    "\\ud800",
    "-1",
    "0",
    "4294967296",
    "99999999999999999999",
    "0x",
    "1e999",
    "nan",
    "true",
    "1979-05-27T07:32:00Z",
    "name = \"web\"\n",
    "listen = [\"tcp://10.0.0.100:80\"]\n",
    "address = \"10.1.0.11\"\n",
    "forward = \"dr\"\n",
    "fwmark:7",
    "tcp://",
    "65536",
    "::ffff:10.0.0.1",
    "weight = ",
    "backend",
    "forward = \"tun\"\n",
    "tunnel = \"gue:6080\"\n",
    "tunnel = { type = \"gre\", checksum = true }\n",
    "tunnel_source = \"10.99.0.0/16\"\n",
    "persistence = { timeout = \"6m\", group = \"shop\" }\n",
    "timeouts.udp = \"1h\"\n",
    "one_packet = true\n",
    "[[service.pins]]\n",
    "client = \"10.9.0.0/16\"\n",
    "max_connections = 10\n",
    "/64",
    "31d",
];

fn mutate(text: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(text.len() + 1);
    match random.below(10) {
        0 if at < text.len() => text[at] ^= 1 << random.below(8),
        1 if at < text.len() => text[at] = b' ' + random.below(95) as u8,
        2 => {
            let end = (at + random.below(20)).min(text.len());
            text.drain(at..end);
        }
        3 | 4 => {
            let word = WORDS[random.below(WORDS.len())];
            text.splice(at..at, word.bytes());
        }
        5 => {
            let from = random.below(other.len() + 1);
            let end = (from + random.below(200)).min(other.len());
            text.splice(at..at, other[from..end].iter().copied());
        }
        6 => text.truncate(at),
        _ => mutate_lines(text, random),
    }
}

fn mutate_lines(text: &mut Vec<u8>, random: &mut Random) {
    let mut lines: Vec<Vec<u8>> = text
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    if lines.is_empty() {
        return;
    }
    let (one, two) = (random.below(lines.len()), random.below(lines.len()));
    match random.below(3) {
        0 => lines.swap(one, two),
        1 => drop(lines.remove(one)),
        _ => {
            let line = lines[one].clone();
            lines.insert(two, line);
        }
    }
    *text = lines.concat();
}

fn case(seeds: &[(PathBuf, Vec<u8>)], seed: u64, number: u64) -> Vec<u8> {
    let mut random = Random(seed.wrapping_add(number.wrapping_mul(0x2545_f491_4f6c_dd1d)));
    let mut text = seeds[random.below(seeds.len())].1.clone();
    // One long file would take most of the time.
    text.truncate(4096);
    let other = &seeds[random.below(seeds.len())].1;
    for _ in 0..=random.below(6) {
        mutate(&mut text, other, &mut random);
    }
    text
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect(name))
}

#[test]
fn the_corpus_holds() {
    let seeds = seeds();
    assert!(seeds.len() > 50);
    for (path, bytes) in seeds {
        let held = catch_unwind(AssertUnwindSafe(|| hold(&bytes, true)));
        assert!(held.is_ok(), "{} fails", path.display());
    }
}

#[test]
fn mutated_files_hold() {
    let (cases, seed) = (setting("WVS_FUZZ_CASES", CASES), setting("WVS_FUZZ_SEED", 1));
    let seeds = seeds();
    let mut good = 0;
    for number in 0..cases {
        let text = case(&seeds, seed, number);
        let held = catch_unwind(AssertUnwindSafe(|| hold(&text, number % RENDERED == 0)));
        if held.is_err() {
            let path = folder().join(format!("corpus/found-{seed}-{number}.toml"));
            std::fs::write(&path, &text).unwrap();
            panic!("case {number} of seed {seed} fails; it is kept as {}", path.display());
        }
        good += u64::from(std::str::from_utf8(&text).is_ok_and(|text| read(text).is_ok()));
    }
    // Mutations that always break the file would never reach the rules, or the writer.
    assert!(good * 100 > cases, "only {good} of {cases} files were right");
}

#[test]
fn extreme_files_hold() {
    let long = |part: &str| part.repeat((1 << 20) / part.len());
    let deep = |open: &str, close: &str| format!("x = {}{}", open.repeat(100_000), close.repeat(100_000));
    let files = [
        "a = 1\n".repeat((10 << 20) / 6),
        " ".repeat(LARGEST_FILE - 1) + "a",
        long("a"),
        long("a\n"),
        long("\""),
        long("["),
        long("a = 1\n"),
        long("\0"),
        long("é"),
        long("[[service]]\n"),
        format!("[[service]]\nname = \"{}\"", long("w")),
        deep("[", "]"),
        deep("{a=", "}"),
        format!("{} = 1", "a.".repeat(100_000)),
        format!("[{}a]", "a.".repeat(100_000)),
    ];
    for (number, file) in files.iter().enumerate() {
        let begun = std::time::Instant::now();
        hold(file.as_bytes(), true);
        assert!(begun.elapsed().as_secs() < 30, "file {number} takes {:?}", begun.elapsed());
    }
}
