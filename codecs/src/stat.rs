//! What the seven characters of a report's `Stat` say (CMPP, SMGP), for people: the specification's words, the causes
//! that platforms pass through (`MK:0024`), and the words they invent. Never complete: whatever is not here is still an
//! outcome, and is shown as it came.

use crate::words::Words;

/// Delivered.
pub const DELIVRD: &[u8] = b"DELIVRD";
/// Taken by the operator's staff: not the end.
pub const ACCEPTD: &[u8] = b"ACCEPTD";

/// A family's two letters, a colon, four digits.
const CAUSE: usize = 7;

/// What a `Stat` says, whatever pads it: its own words, else those of the family it is of. A cause may lack its colon
/// (`MK00001`).
pub fn words(stat: &[u8]) -> Option<Words> {
    let stat = trimmed(stat);
    find(STATS, stat).or_else(|| {
        let cause = cause(stat)?;
        find(STATS, &cause).or_else(|| find(FAMILIES, &cause[..3]))
    })
}

/// The `Stat` without what pads it.
pub fn trimmed(stat: &[u8]) -> &[u8] {
    let pads = |octet: &u8| *octet == 0 || octet.is_ascii_whitespace();
    let start = stat.iter().position(|octet| !pads(octet)).unwrap_or(stat.len());
    let end = stat.iter().rposition(|octet| !pads(octet)).map_or(start, |last| last + 1);
    &stat[start..end]
}

/// A cause in its usual form.
fn cause(stat: &[u8]) -> Option<[u8; CAUSE]> {
    let mut cause: [u8; CAUSE] = stat.try_into().ok()?;
    let [a, b, third, code @ ..] = cause;
    let named = a.is_ascii_alphabetic() && b.is_ascii_alphabetic();
    let coded = third == b':' || (third == b'0' && code.iter().all(u8::is_ascii_digit));
    cause[2] = b':';
    (named && coded).then_some(cause)
}

fn find(table: &[Row], key: &[u8]) -> Option<Words> {
    let row = table.iter().find(|(stat, ..)| stat.as_bytes().eq_ignore_ascii_case(key));
    row.map(|&(_, zh, en)| Words { zh, en })
}

/// A `Stat`, in Chinese and in English.
type Row = (&'static str, &'static str, &'static str);

/// Who answers for a cause, by its first three characters.
const FAMILIES: &[Row] = &[
    ("CA:", "SCP 无应答", "prepaid platform gave no answer"),
    ("CB:", "SCP 错误应答", "prepaid platform refused"),
    ("DA:", "DSMP 无应答", "service platform gave no answer"),
    ("DB:", "DSMP 错误应答", "service platform refused"),
    ("IA:", "下一级网关无应答", "next gateway gave no answer"),
    ("IB:", "下一级网关错误应答", "next gateway refused"),
    ("IC:", "下一级网关无状态报告", "next gateway sent no report"),
    ("ID:", "网关内部错误", "refused by the gateway itself"),
    ("LT:", "平台限制", "limited by the platform"),
    ("MA:", "短信中心无应答", "SMSC gave no answer"),
    ("MB:", "短信中心错误应答", "SMSC refused"),
    ("MC:", "短信中心无状态报告", "SMSC sent no report"),
    ("MI:", "短信中心内部错误", "failed inside the SMSC"),
    ("MK:", "用户侧网络错误", "failed on the way to the handset"),
    ("MN:", "短信中心下发失败", "SMSC could not deliver"),
    ("SA:", "SP 无应答", "SP gave no answer"),
    ("SB:", "SP 错误应答", "SP refused"),
];

/// Whole `Stat`s.
const STATS: &[Row] = &[
    ("DELIVRD", "发送成功", "delivered"),
    ("EXPIRED", "超过有效期", "validity over"),
    ("DELETED", "已被删除", "deleted"),
    ("UNDELIV", "无法投递", "undeliverable"),
    ("ACCEPTD", "已被人工接收", "taken by the operator's staff"),
    ("ENROUTE", "正在传送", "on its way"),
    ("UNKNOWN", "状态未知", "state unknown"),
    ("REJECTD", "被拒绝", "rejected"),
    ("CB:0001", "非预付费用户", "not a prepaid user"),
    ("CB:0007", "余额不足", "no balance left"),
    ("ID:0006", "超过最大信息长", "longer than allowed"),
    ("ID:0007", "业务代码错", "service code"),
    ("ID:0008", "流量控制", "flow control"),
    ("ID:0010", "Src_Id 错误", "wrong Src_Id"),
    ("ID:0011", "Msg_src 错误", "wrong Msg_src"),
    ("ID:0012", "计费地址错误", "wrong payer"),
    ("ID:0013", "目的地址错误", "wrong recipient"),
    ("ID:0069", "黑名单用户", "on the blacklist"),
    ("ID:0076", "信息安全鉴权失败", "refused for information security"),
    ("ID:0077", "超过最大提交数", "more than may be submitted"),
    ("ID:0111", "加签名后超长", "too long with its signature"),
    ("ID:0141", "黑名单用户", "on the blacklist"),
    ("ID:0318", "含有敏感词", "forbidden word"),
    ("MI:0013", "用户关机或停机", "handset off or suspended"),
    ("MI:0024", "用户关机或停机", "handset off or suspended"),
    ("MK:0000", "号码无效", "number not valid"),
    ("MK:0001", "空号", "unknown subscriber"),
    ("MK:0002", "用户未定义", "undefined subscriber"),
    ("MK:0003", "非法用户", "illegal subscriber"),
    ("MK:0004", "业务不支持", "service not supported"),
    ("MK:0005", "呼叫被禁止", "barred"),
    ("MK:0008", "用户不在服务区", "not in a served area"),
    ("MK:0009", "用户不在服务区，等待上线", "not in a served area, waiting"),
    ("MK:0010", "短消息下发失败", "short message failure"),
    ("MK:0011", "等待队列满", "waiting list full"),
    ("MK:0012", "号码不存在", "no such number"),
    ("MK:0015", "手机错误", "handset error"),
    ("MK:0017", "手机内存满", "handset memory full"),
    ("MK:0022", "非法手机", "illegal handset"),
    ("MK:0023", "用户忙", "busy"),
    ("MK:0024", "用户关机", "switched off"),
    ("MK:0029", "用户暂时不可及", "not reachable for now"),
    ("BEYONDN", "超过限制条数", "more messages than allowed"),
    ("BLACK", "黑名单用户", "on the blacklist"),
    ("KEYWORD", "含有敏感词", "forbidden word"),
    ("NOROUTE", "没有路由", "no route"),
    ("NOSEND", "签名未报备", "signature missing or not registered"),
    ("SIGFAIL", "签名错误", "signature missing or not registered"),
    ("00138", "签名未报备", "signature missing or not registered"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn en(stat: &[u8]) -> Option<&'static str> {
        words(stat).map(|words| words.en)
    }

    #[test]
    fn a_stat_is_found_whatever_pads_it() {
        for stat in [&b"DELIVRD"[..], b"delivrd", b" DELIVRD\0", b"DELIVRD\0\0 "] {
            assert_eq!(en(stat), Some("delivered"), "{}", stat.escape_ascii());
        }
        assert_eq!(words(b"BLACK\0\0").map(|words| words.zh), Some("黑名单用户"));
    }

    #[test]
    fn a_cause_is_found_by_its_code_else_by_its_family() {
        assert_eq!(en(b"MK:0024"), Some("switched off"));
        assert_eq!(en(b"mk:0024"), Some("switched off"));
        assert_eq!(en(b"MK00024"), Some("switched off"));
        assert_eq!(en(b"MK:9999"), Some("failed on the way to the handset"));
        assert_eq!(en(b"IB:0139"), Some("next gateway refused"));
        assert_eq!(en(b"IB:ABCD"), Some("next gateway refused"));
    }

    #[test]
    fn what_is_not_known_has_no_words() {
        for stat in [
            &b""[..],
            b"3",
            b"660",
            b"MK",
            b"MK:",
            b"MK:00240",
            b"MK10024",
            b"XX:0001",
            b"\xff\xfe:0001",
            b"MKABCDE",
            b"MK0ABCD",
        ] {
            assert_eq!(words(stat), None, "{}", stat.escape_ascii());
        }
    }

    #[test]
    fn no_key_stands_twice_and_every_cause_has_a_family() {
        for (index, (stat, ..)) in STATS.iter().enumerate() {
            assert!(stat.len() <= CAUSE && STATS[..index].iter().all(|(other, ..)| other != stat), "{stat}");
            assert!(stat.as_bytes().get(2) != Some(&b':') || find(FAMILIES, &stat.as_bytes()[..3]).is_some(), "{stat}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_looked_up(stat in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = words(&stat);
            prop_assert!(trimmed(&stat).len() <= stat.len());
        }
    }
}
