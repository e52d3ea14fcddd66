//! How far the feed was read, in memory and, with `--resume-file`, in a file.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nexus_api::feed::v1::ShardPosition;
use nexus_cli_frame::{CliError, settings::folder};
use serde::{Deserialize, Serialize};

/// The version of the file.
const VERSION: u32 = 1;
/// Shards that there can be.
const MOST_SHARDS: usize = 64;
/// A larger file is refused.
const MAX_FILE: u64 = 64 << 10;

/// A reader, and what it needs no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Positions {
    version: u32,
    /// The reader's name.
    pub(super) reader: String,
    /// By shard.
    positions: BTreeMap<u32, u64>,
}

impl Positions {
    /// Those of a reader that has read nothing.
    pub(super) fn new(reader: String) -> Self {
        Self {
            version: VERSION,
            reader,
            positions: BTreeMap::new(),
        }
    }

    /// True before the first answer to a registration.
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Goes on from where the server begins, where that is further.
    pub(super) fn begin(&mut self, acknowledged: &[ShardPosition]) {
        for at in acknowledged {
            self.reach(at.shard, at.position);
        }
    }

    /// A shard is read up to a position.
    pub(super) fn reach(&mut self, shard: u32, position: u64) {
        let at = self.positions.entry(shard).or_default();
        *at = position.max(*at);
    }

    /// As the feed takes it.
    pub(super) fn after(&self) -> Vec<ShardPosition> {
        let positions = self.positions.iter();
        positions
            .map(|(&shard, &position)| ShardPosition { shard, position })
            .collect()
    }
}

/// The file of `--resume-file`.
pub(super) struct ResumeFile(PathBuf);

impl ResumeFile {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// What stands in it; nothing when it is not there yet.
    pub(super) fn read(&self) -> Result<Option<Positions>, CliError> {
        let bad = |problem: String| CliError::File {
            path: self.0.display().to_string(),
            problem,
        };
        match std::fs::metadata(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(bad(error.to_string())),
            Ok(about) if about.len() > MAX_FILE => return Err(bad(format!("it is larger than {MAX_FILE} bytes"))),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(&self.0).map_err(|error| bad(error.to_string()))?;
        let read: Positions =
            serde_json::from_str(&text).map_err(|error| bad(format!("it is no file of --resume-file: {error}")))?;
        if read.version != VERSION || read.positions.len() > MOST_SHARDS {
            return Err(bad(format!("it is no file of --resume-file in version {VERSION}")));
        }
        Ok(Some(read))
    }

    /// Puts positions into it.
    pub(super) fn write(&self, positions: &Positions) -> Result<(), CliError> {
        let text = serde_json::to_string(positions).map_err(|error| CliError::Other(error.to_string()))?;
        folder::replace(&self.0, &format!("{text}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_only_go_on() {
        let mut positions = Positions::new("r".into());
        let at = |shard, position| ShardPosition { shard, position };
        positions.begin(&[at(0, 5), at(1, 0)]);
        positions.reach(1, 1);
        positions.reach(0, 4);
        positions.begin(&[at(0, 3), at(1, 7)]);
        assert_eq!(positions.after(), [at(0, 5), at(1, 7)]);
    }

    #[test]
    fn what_is_written_is_read_and_another_file_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("position");
        let file = ResumeFile::new(&path);
        assert_eq!(file.read().expect("none yet"), None);
        let mut positions = Positions::new("cli-1".into());
        positions.reach(63, u64::MAX);
        file.write(&positions).expect("write");
        assert_eq!(file.read().expect("read"), Some(positions));
        for other in ["", "{}", "{\"version\":2,\"reader\":\"r\",\"positions\":{}}", "name: x"] {
            std::fs::write(&path, other).expect("write");
            let error = file.read().expect_err(other).to_string();
            assert!(error.contains("--resume-file"), "{error}");
        }
    }
}
