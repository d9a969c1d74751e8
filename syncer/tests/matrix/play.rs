//! Commands at the source while the link is cut and the syncer is killed.

use std::{
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use redis::{Cmd, Connection, Value};
use redissync_e2e::{node::Node, random::Random, servers::ServerVersion::Redis28};

use super::{
    Bed,
    commands::{Line, Table},
};
use crate::bed::scale;

/// Commands of one transaction.
const TRANSACTION_LINES: usize = 7;
/// Between two commands, so that cuts meet some of them.
const PAUSE: Duration = Duration::from_millis(2);
/// What a source tells no replica of: a consumer that got nothing, and entries that are read again. In the table's order
/// each of these gets something.
const UNTOLD: [&str; 3] = ["xreadgroup", "xclaim", "xautoclaim"];
/// A time of expiry that no test reaches.
const TWO_HOURS: Duration = Duration::from_secs(7200);

/// What the words that begin with `@` stand for.
struct Fillings {
    dump: Vec<u8>,
    library: Vec<u8>,
}

/// A place for commands: how they are sent, and to which database.
struct Player<'a> {
    connection: Connection,
    fillings: &'a Fillings,
}

impl Fillings {
    fn of(node: &Node) -> Result<Self> {
        let connection = &mut node.connect()?;
        let dump = redis::cmd("DUMP").arg("set:intset").query(connection).context("DUMP")?;
        // Servers before 7.0 have none, and no line that asks for it.
        let library = redis::cmd("FUNCTION").arg("DUMP").query(connection).unwrap_or_default();
        Ok(Self { dump, library })
    }

    fn fill(&self, line: &Line) -> Vec<Vec<u8>> {
        let then = SystemTime::now() + TWO_HOURS;
        let then = then.duration_since(UNIX_EPOCH).unwrap_or_default();
        let fill = |word: &Vec<u8>| match &word[..] {
            b"@ms" => then.as_millis().to_string().into_bytes(),
            b"@s" => then.as_secs().to_string().into_bytes(),
            b"@dump" => self.dump.clone(),
            b"@library" => self.library.clone(),
            _ => word.clone(),
        };
        line.words.iter().map(fill).collect()
    }
}

impl<'a> Player<'a> {
    fn at(node: &Node, db: u32, fillings: &'a Fillings) -> Result<Self> {
        let mut connection = node.connect()?;
        redis::cmd("SELECT").arg(db).exec(&mut connection)?;
        Ok(Self { connection, fillings })
    }

    fn command(&self, line: &Line) -> Cmd {
        let mut command = Cmd::new();
        self.fillings.fill(line).iter().for_each(|word| {
            command.arg(word);
        });
        command
    }

    fn run(&mut self, line: &Line) -> Result<()> {
        let command = self.command(line);
        command.exec(&mut self.connection).with_context(|| shown(line))
    }

    fn run_as_script(&mut self, line: &Line) -> Result<()> {
        let mut command = redis::cmd("EVAL");
        command.arg("return redis.call(unpack(ARGV))").arg(0).arg(self.fillings.fill(line));
        command.exec(&mut self.connection).with_context(|| format!("{} in a script", shown(line)))
    }

    fn run_as_transaction(&mut self, lines: &[&Line]) -> Result<()> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        lines.iter().for_each(|line| {
            pipe.add_command(self.command(line));
        });
        let names = || lines.iter().map(|line| shown(line)).collect::<Vec<_>>();
        pipe.exec(&mut self.connection).with_context(|| format!("a transaction of {:?}", names()))
    }
}

fn shown(line: &Line) -> String {
    String::from_utf8_lossy(&line.words.join(&b' ')).into_owned()
}

/// Whether a server of 2.8 repeats the script at its replicas with a span that only the script knows: no grace can be
/// added there.
fn states_expiry(line: &Line) -> bool {
    let is_option = |word: &Vec<u8>| ["EX", "PX", "@ms", "@s"].iter().any(|w| word == w.as_bytes());
    line.name.contains("expire") || line.name.ends_with("setex") || line.words.iter().any(is_option)
}

impl Bed {
    /// The table three times: command by command, in transactions, in scripts; each in a database of its own, each with a
    /// cut of both links and a kill.
    pub(super) fn play(&mut self, table: &Table) -> Result<()> {
        let fillings = Fillings::of(&self.pair.source)?;
        let lines: Vec<&Line> = table.lines.iter().filter(|line| !line.is_last).collect();
        let mut player = Player::at(&self.pair.source, 0, &fillings)?;
        for (number, line) in lines.iter().enumerate() {
            player.run(line)?;
            self.disturb(number, lines.len())?;
        }
        self.serve_blocked()?;
        let mut player = Player::at(&self.pair.source, 5, &fillings)?;
        let transactions: Vec<_> = lines.chunks(TRANSACTION_LINES).collect();
        for (number, lines) in transactions.iter().enumerate() {
            player.run_as_transaction(lines)?;
            self.disturb(number, transactions.len())?;
        }
        let repeats_scripts = self.pair.source.version() == Redis28;
        let mut player = Player::at(&self.pair.source, 9, &fillings)?;
        for (number, line) in lines.iter().enumerate() {
            if !line.is_noscript
                && !(repeats_scripts && (states_expiry(line) || line.name == "restore"))
            {
                player.run_as_script(line)?;
            }
            self.disturb(number, lines.len())?;
        }
        self.settle()
    }

    /// Cuts at two places, a kill at another.
    fn disturb(&mut self, number: usize, of: usize) -> Result<()> {
        sleep(PAUSE);
        if number == of / 4 {
            self.near.sever();
        } else if number == of / 3 {
            self.far.sever();
        } else if number == of / 2 {
            self.pair.syncer.kill9()?;
            self.pair.syncer.restart()?;
        }
        Ok(())
    }

    /// Clients that wait are served by a write of another: the source sends what they have taken.
    fn serve_blocked(&mut self) -> Result<()> {
        let source = &self.pair.source;
        let connection = &mut source.connect()?;
        let mut blocked = vec![("BRPOPLPUSH served served:moved 9", "RPUSH served a b")];
        blocked.push(("BLPOP served:first 9", "RPUSH served:first a b"));
        if source.version().is_modern() && self.pair.target.version().is_modern() {
            blocked.push(("BZPOPMIN served:zset 9", "ZADD served:zset 1 a 2 b"));
        }
        for (wait, write) in blocked {
            let mut waiting = source.connect()?;
            let packed = |words: &str| {
                let mut command = Cmd::new();
                words.split(' ').for_each(|word| {
                    command.arg(word);
                });
                command
            };
            waiting.send_packed_command(&packed(wait).get_packed_command())?;
            redissync_e2e::wait_until("a client that waits", crate::bed::PATIENCE, || {
                let clients = redissync_e2e::info::info(connection, "clients")?;
                Ok((clients.get("blocked_clients").is_some_and(|count| count != "0")).then_some(()))
            })?;
            packed(write).exec(connection)?;
            if waiting.recv_response()? == Value::Nil {
                bail!("{wait} was not served");
            }
        }
        Ok(())
    }

    /// Lines of the table in any order, some in transactions. Those that the source refuses then change nothing.
    pub(super) fn play_at_random(&mut self, table: &Table, seed: u64) -> Result<()> {
        println!("at random with seed {seed}");
        let mut random = Random::new(seed);
        let fillings = Fillings::of(&self.pair.source)?;
        // One that waits would hold up the others.
        let lines: Vec<&Line> = table
            .lines
            .iter()
            .filter(|line| !line.is_last && !line.name.starts_with('b'))
            .filter(|line| !UNTOLD.contains(&line.name.as_str()))
            .collect();
        let count = scale(1000, 5000);
        let mut player = Player::at(&self.pair.source, 0, &fillings)?;
        for number in 0..count {
            if random.below(50) == 0 {
                player = Player::at(&self.pair.source, random.below(10) as u32, &fillings)?;
            }
            let any = |random: &mut Random| lines[random.below(lines.len() as u64) as usize];
            let line = any(&mut random);
            if random.below(4) == 0 {
                let others: Vec<&Line> =
                    (0..random.below(9)).map(|_| any(&mut random)).chain([line]).collect();
                let _ = player.run_as_transaction(&others);
            } else {
                let _ = player.run(line);
            }
            self.disturb(number, count)?;
        }
        self.settle()
    }

    /// What empties databases.
    pub(super) fn empty(&mut self, table: &Table) -> Result<()> {
        let fillings = Fillings::of(&self.pair.source)?;
        let mut player = Player::at(&self.pair.source, 5, &fillings)?;
        for line in table.lines.iter().filter(|line| line.is_last) {
            player.run(line)?;
        }
        self.settle()
    }
}
