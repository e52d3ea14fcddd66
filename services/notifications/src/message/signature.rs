//! Signatures of Standard Webhooks: HMAC-SHA256 over id, time and body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A secret that nothing can be signed with. It is not quoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the value of a signing secret must be whsec_ and 24 to 64 bytes in base64, as `openssl rand -base64 32` writes them"
)]
pub(crate) struct BadSecret;

/// The header `webhook-signature`: one signature for each secret.
pub(crate) fn header(secrets: &[String], id: &str, seconds: i64, body: &str) -> Result<String, BadSecret> {
    let signed: Result<Vec<String>, BadSecret> = secrets.iter().map(|secret| sign(secret, id, seconds, body)).collect();
    Ok(signed?.join(" "))
}

fn sign(secret: &str, id: &str, seconds: i64, body: &str) -> Result<String, BadSecret> {
    let encoded = secret.trim().strip_prefix("whsec_").ok_or(BadSecret)?;
    let key = STANDARD.decode(encoded).map_err(|_| BadSecret)?;
    if !(24..=64).contains(&key.len()) {
        return Err(BadSecret);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| BadSecret)?;
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_signature_of_the_specification() {
        // The example of the specification and of its libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let signed = header(
            &[secret.clone(), secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed, Ok(format!("{one} {one}")));
        for bad in [
            "",
            "whsec_",
            "whsec_AAAA",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_!!!",
        ] {
            assert_eq!(sign(bad, "a", 1, "b"), Err(BadSecret), "{bad}");
        }
    }
}
