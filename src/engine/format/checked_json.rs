//! Small objects that people may want to read: a line of JSON and a line with its checksum.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::hash;

#[derive(Serialize, Deserialize)]
struct Checksum {
    xxh3_128: String,
    bytes: usize,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The object's bytes. `value` has a member `format`.
///
/// # Errors
/// If it has no form in JSON.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(value)?;
    let checksum = Checksum { xxh3_128: format!("{:032x}", hash(&bytes)), bytes: bytes.len() };
    bytes.push(b'\n');
    serde_json::to_writer(&mut bytes, &checksum)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads `what` (a word for errors), or says what is wrong with its bytes. The checksum is compared
/// before the content is looked at, and the number of its format before the rest of it.
///
/// # Errors
/// What is wrong.
pub fn decode<T: DeserializeOwned>(object: &[u8], what: &str, format: u32) -> Result<T, String> {
    let body_end = object.iter().position(|byte| *byte == b'\n').ok_or("it has no checksum line")?;
    let (body, checksum) = object.split_at(body_end);
    if checksum.last() != Some(&b'\n') || checksum.len() < 2 {
        return Err("its checksum line is cut off".into());
    }
    let checksum: Checksum =
        serde_json::from_slice(checksum).map_err(|error| format!("its checksum line is damaged: {error}"))?;
    if checksum.bytes != body.len() || checksum.xxh3_128 != format!("{:032x}", hash(body)) {
        return Err("its content does not match its checksum".into());
    }
    let read = |error: serde_json::Error| format!("it is not a {what}: {error}");
    let found: Format = serde_json::from_slice(body).map_err(read)?;
    if found.format != format {
        return Err(format!("its format is {}, this server reads {format}", found.format));
    }
    serde_json::from_slice(body).map_err(read)
}
