//! What answers and reports say (SGIP 1.2 and 1.3): one table for `Result` and `ErrorCode`, 1 to 20 mostly in
//! answers, 21 and up mostly in reports. 1.3 gives 32 and 33 a new meaning.

use crate::words::codes;

codes! { u8:
    OK = 0 "成功" "ok"
    LOGIN = 1 "非法登录" "illegal login"
    REPEATED_LOGIN = 2 "重复登录" "login on a connection already logged in"
    TOO_MANY_CONNECTIONS = 3 "连接过多" "too many connections"
    LOGIN_TYPE = 4 "登录类型错" "wrong login type"
    FORMAT = 5 "参数格式错" "parameter format"
    NUMBER = 6 "非法手机号码" "illegal phone number"
    MESSAGE_ID = 7 "消息 ID 错" "wrong message id"
    LENGTH = 8 "信息长度错" "message length"
    SEQUENCE = 9 "非法序列号" "illegal or repeated sequence number"
    GNS_OPERATION = 10 "非法操作 GNS" "illegal operation on a name server"
    BUSY = 11 "节点忙" "node busy"
    SERVICE_NOT_ASSIGNED = 13 "业务代码未分配" "service code not assigned"
    SERVICE_FEE = 14 "业务计费类型错" "service fee type wrong"
    LINK_ID = 17 "LinkID 不匹配" "LinkID does not match"
    NOT_SUBSCRIBED = 18 "用户未订购" "user has not subscribed"
    ONE_USER_ONLY = 19 "不允许群发" "one recipient only"
    UNREACHABLE = 21 "目的地址不可达" "destination unreachable"
    ROUTE = 22 "路由错" "route error"
    NO_ROUTE = 23 "路由不存在" "no route"
    CHARGE_NUMBER = 24 "计费号码无效" "charge number invalid"
    CANNOT_COMMUNICATE = 25 "用户不能通信" "user cannot communicate"
    MEMORY_FULL = 26 "手机内存不足" "handset memory full"
    NO_SMS = 27 "手机不支持短消息" "handset has no SMS"
    HANDSET = 28 "手机接收错误" "handset error"
    UNKNOWN_USER = 29 "不知道的用户" "unknown user"
    NOT_PROVIDED = 30 "不提供此功能" "function not provided"
    ILLEGAL_EQUIPMENT = 31 "非法设备" "illegal equipment"
    SYSTEM = 32 "系统失败（1.3：包格式错误）" "system failure (1.3: packet format)"
    QUEUE_FULL = 33 "短信中心队列满（1.3：超出每秒流量）" "SMSC queue full (1.3: over the rate per second)"
    LOGIN_TOO_OFTEN = 34 "登录过于频繁" "login too frequent"
    TOO_MANY_FOR_LINK_ID = 38 "同一 LinkID 下发过多" "too many messages for one LinkID"
    THIRD_PARTY = 39 "第三方付费" "third-party payment"
    MO_FLAG = 40 "MorelatetoMTFlag 不能为 3" "MorelatetoMTFlag may not be 3"
    WEB_COMMAND = 43 "网站点播指令不存在" "web on-demand command unknown"
    NOTICE_INTERCEPTED = 44 "提醒短信被拦截" "notification intercepted"
    THROTTLED = 88 "流量控制" "throttled, in SMPP's number"
    MONTHLY_RECORD = 95 "当前不允许包月话单" "monthly record not allowed now"
}

/// The result for a PDU of which this field cannot be read.
pub(super) fn fault(field: &'static str) -> u8 {
    match field {
        "length" | "message_content" => LENGTH,
        _ => FORMAT,
    }
}
