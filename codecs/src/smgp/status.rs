//! What answers say (SMGP 3.0). 128 to 255 belong to the carrier, and some go beyond.

use crate::words::codes;

codes! { u32:
    OK = 0 "成功" "ok"
    BUSY = 1 "系统忙" "system busy"
    TOO_MANY_CONNECTIONS = 2 "超过最大连接数" "too many connections"
    STRUCTURE = 10 "消息结构错" "message structure"
    COMMAND = 11 "命令字错" "command id"
    DUPLICATE_SEQUENCE = 12 "序列号重复" "duplicate sequence number"
    IP_ADDRESS = 20 "IP 地址错" "IP address"
    AUTHENTICATION = 21 "认证错" "authentication failed"
    VERSION = 22 "版本太高" "version too high"
    MSG_TYPE = 30 "非法消息类型" "illegal MsgType"
    PRIORITY = 31 "非法优先级" "illegal Priority"
    FEE_TYPE = 32 "非法资费类型" "illegal FeeType"
    FEE_CODE = 33 "非法资费代码" "illegal FeeCode"
    MSG_FORMAT = 34 "非法短消息格式" "illegal MsgFormat"
    TIME_FORMAT = 35 "非法时间格式" "illegal time format"
    MSG_LENGTH = 36 "非法短消息长度" "illegal MsgLength"
    EXPIRED = 37 "有效期已过" "validity has passed"
    QUERY_TYPE = 38 "非法查询类别" "illegal QueryType"
    ROUTE = 39 "路由错误" "route error"
    FIXED_FEE = 40 "非法包月费/封顶费" "illegal FixedFee"
    UPDATE_TYPE = 41 "非法更新类型" "illegal UpdateType"
    ROUTE_ID = 42 "非法路由编号" "illegal RouteId"
    SERVICE_ID = 43 "非法服务代码" "illegal ServiceId"
    VALID_TIME = 44 "非法有效期" "illegal ValidTime"
    AT_TIME = 45 "非法定时发送时间" "illegal AtTime"
    SRC_TERM_ID = 46 "非法发送用户号码" "illegal SrcTermId"
    DEST_TERM_ID = 47 "非法接收用户号码" "illegal DestTermId"
    CHARGE_TERM_ID = 48 "非法计费用户号码" "illegal ChargeTermId"
    SP_CODE = 49 "非法 SP 服务代码" "illegal SPCode"
    SRC_GATEWAY_ID = 56 "非法源网关代码" "illegal SrcGatewayID"
    QUERY_TERM_ID = 57 "非法查询号码" "illegal QueryTermID"
    NO_ROUTE = 58 "没有匹配路由" "no route"
    SP_TYPE = 59 "非法 SP 类型" "illegal SPType"
    LAST_ROUTE_ID = 60 "非法上一条路由编号" "illegal LastRouteID"
    ROUTE_TYPE = 61 "非法路由类型" "illegal RouteType"
    DEST_GATEWAY_ID = 62 "非法目标网关代码" "illegal DestGatewayID"
    DEST_GATEWAY_IP = 63 "非法目标网关 IP" "illegal DestGatewayIP"
    DEST_GATEWAY_PORT = 64 "非法目标网关端口" "illegal DestGatewayPort"
    TERM_RANGE_ID = 65 "非法号码段" "illegal TermRangeID"
    PROVINCE_CODE = 66 "非法省代码" "illegal ProvinceCode"
    USER_TYPE = 67 "非法用户类型" "illegal UserType"
    UPDATE_UNSUPPORTED = 68 "不支持路由更新" "route update unsupported"
    SP_ID = 69 "非法 SP 企业代码" "illegal SPID"
    SP_ACCESS_TYPE = 70 "非法 SP 接入类型" "illegal SPAccessType"
    UPDATE_FAILED = 71 "路由信息更新失败" "route update failed"
    TIME = 72 "非法时间戳" "illegal Time"
    M_SERVICE_ID = 73 "非法业务代码" "illegal MServiceID"
    FORBIDDEN_HOURS = 74 "禁止下发时段" "forbidden sending hours"
    OVER_DAILY_VOLUME = 75 "发送超过日流量" "over the daily volume"
    ACCOUNT_EXPIRED = 76 "帐号过有效期" "account expired"
}

/// The status for a PDU of which this field cannot be read.
pub(super) fn fault(field: &'static str) -> u32 {
    match field {
        "msg_content" => MSG_LENGTH,
        _ => STRUCTURE,
    }
}
