//! HTTP/1.1 as a load client needs it: requests from a prepared head, answers with a Content-Length.

/// Longest answer head taken.
const MAX_HEAD: usize = 16 * 1024;
/// Longest answer body taken.
const MAX_BODY: usize = 1024 * 1024;

/// The part of every POST that stays the same.
#[derive(Debug, Clone)]
pub struct Head(Vec<u8>);

impl Head {
    /// A POST of JSON to `path` of `host`, with `bearer` as its key.
    pub fn post(host: &str, path: &str, bearer: &str) -> Self {
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {bearer}\r\n\
             Content-Type: application/json\r\nIdempotency-Key: "
        );
        Self(text.into_bytes())
    }

    /// Writes the whole request in place of what `into` held.
    pub fn write(&self, into: &mut Vec<u8>, idempotency_key: &str, body: &[u8]) {
        into.clear();
        into.extend_from_slice(&self.0);
        into.extend_from_slice(idempotency_key.as_bytes());
        into.extend_from_slice(b"\r\nContent-Length: ");
        into.extend_from_slice(body.len().to_string().as_bytes());
        into.extend_from_slice(b"\r\n\r\n");
        into.extend_from_slice(body);
    }
}

/// What is asked of Kannel's sendsms, but for the number.
#[derive(Debug, Clone)]
pub struct Sendsms {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Sendsms {
    /// A message with `text`, asked for at `host` with `account` as name and password; its ends (delivered or not) go to
    /// `dlr_url`.
    pub fn new(host: &str, account: &str, text: &str, dlr_url: Option<&str>) -> Self {
        let (account, text) = (escaped(account), escaped(text));
        let dlr = dlr_url.map_or_else(String::new, |url| format!("&dlr-mask=3&dlr-url={}", escaped(url)));
        let before = format!(
            "GET /cgi-bin/sendsms?username={account}&password={account}&from=10690001&coding=0&text={text}{dlr}&to="
        );
        Self { before: before.into_bytes(), after: format!(" HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes() }
    }

    /// Writes the whole request for `number` in place of what `into` held.
    pub fn write(&self, into: &mut Vec<u8>, number: u64) {
        into.clear();
        into.extend_from_slice(&self.before);
        into.extend_from_slice(number.to_string().as_bytes());
        into.extend_from_slice(&self.after);
    }
}

/// `text` as the value in a query.
fn escaped(text: &str) -> String {
    let octet = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(octet).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(octet).collect()
}

/// An answer, lying in the buffer it was read from.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Status code, 200 to 599.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
    /// The server closes the connection after it.
    pub last: bool,
    /// Seconds after which it may be asked again, where it says so.
    pub retry_after: Option<u32>,
    /// Octets of the buffer it took.
    pub length: usize,
}

/// The server does not speak HTTP/1 as we know it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed answer: {0}")]
pub struct Malformed(&'static str);

/// The first answer in `octets`, or `None` when it is not all there yet. Interim (1xx) answers are passed over.
pub fn answer(octets: &[u8]) -> Result<Option<Answer<'_>>, Malformed> {
    let mut start = 0;
    loop {
        let Some(end) = find(&octets[start..], b"\r\n\r\n").map(|at| start + at) else {
            return if octets.len() - start > MAX_HEAD { Err(Malformed("the head never ends")) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&octets[start..end]).map_err(|_| Malformed("the head is not text"))?;
        let (status, http10) = status_line(head.split("\r\n").next().unwrap_or(""))?;
        start = end + 4;
        if status < 200 {
            continue;
        }
        let fields = fields(head)?;
        let length =
            if matches!(status, 204 | 304) { 0 } else { fields.length.ok_or(Malformed("no Content-Length"))? };
        if length > MAX_BODY {
            return Err(Malformed("the body is too long"));
        }
        let end = start + length;
        let (last, retry_after) = (fields.close || http10, fields.retry_after);
        return Ok(octets.get(start..end).map(|body| Answer { status, body, last, retry_after, length: end }));
    }
}

fn status_line(line: &str) -> Result<(u16, bool), Malformed> {
    let mut words = line.split(' ');
    let http10 = match words.next() {
        Some("HTTP/1.1") => false,
        Some("HTTP/1.0") => true,
        _ => return Err(Malformed("not HTTP/1")),
    };
    let digits = words.next().filter(|digits| digits.len() == 3).ok_or(Malformed("no status"))?;
    let status = digits.parse().ok().filter(|status| (100..600).contains(status));
    Ok((status.ok_or(Malformed("no status"))?, http10))
}

struct Fields {
    length: Option<usize>,
    close: bool,
    retry_after: Option<u32>,
}

fn fields(head: &str) -> Result<Fields, Malformed> {
    let mut found = Fields { length: None, close: false, retry_after: None };
    for line in head.split("\r\n").skip(1) {
        let (name, value) = line.split_once(':').ok_or(Malformed("a header without a colon"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| Malformed("Content-Length is no number"))?;
            if found.length.replace(length).is_some_and(|before| before != length) {
                return Err(Malformed("two different Content-Lengths"));
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Malformed("Transfer-Encoding is not supported"));
        } else if name.eq_ignore_ascii_case("retry-after") {
            // A date is as good as nothing: the client has a pause of its own.
            found.retry_after = value.parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            found.close |= value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close"));
        }
    }
    Ok(found)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_only_when_whole() {
        let whole = b"HTTP/1.1 202 Accepted\r\ncontent-length: 4\r\nLocation: /x\r\n\r\nabcdHTTP/1.1";
        let size = whole.len() - 8;
        for cut in 0..size {
            assert_eq!(answer(&whole[..cut]), Ok(None), "{cut}");
        }
        let got = answer(whole).unwrap().unwrap();
        assert_eq!(got, Answer { status: 202, body: b"abcd", last: false, retry_after: None, length: size });
    }

    #[test]
    fn closing_and_bodiless_answers_are_known() {
        let close =
            b"HTTP/1.1 503 Busy\r\nConnection: keep-alive, Close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";
        let busy = answer(close).unwrap().unwrap();
        assert_eq!((busy.last, busy.retry_after), (true, Some(5)));
        assert!(answer(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap().unwrap().last);
        assert_eq!(answer(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().body, b"");
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let two = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
        let got = answer(two).unwrap().unwrap();
        assert_eq!((got.status, got.body, got.length), (200, &b"x"[..], two.len()));
    }

    #[test]
    fn nonsense_is_malformed_not_waited_for() {
        for bad in [
            &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
            b"HTTP/1.1 999 X\r\n\r\n",
            b"HTTP/1.1 20 X\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 \xff\r\n\r\n",
        ] {
            assert!(answer(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(answer(&[b'x'; MAX_HEAD + 1]).is_err());
    }

    #[test]
    fn sendsms_is_asked_in_a_query() {
        let mut out = b"old".to_vec();
        Sendsms::new("h:1", "k", "a b&c", Some("http://h:2/x")).write(&mut out, 861);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("GET /cgi-bin/sendsms?username=k&password=k&"), "{text}");
        assert!(
            text.contains("&text=a%20b%26c&dlr-mask=3&dlr-url=http%3A%2F%2Fh%3A2%2Fx&to=861 HTTP/1.1\r\n"),
            "{text}"
        );
        assert!(text.ends_with("Host: h:1\r\n\r\n"), "{text}");
    }

    #[test]
    fn requests_are_complete() {
        let mut out = b"old".to_vec();
        Head::post("127.0.0.1:1", "/v1/messages", "k").write(&mut out, "r-1", b"{}");
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAuthorization: Bearer k\r\n"));
        assert!(text.ends_with("Idempotency-Key: r-1\r\nContent-Length: 2\r\n\r\n{}"), "{text}");
    }
}
