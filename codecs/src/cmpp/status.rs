//! What answers say: [`connect`] for CONNECT_RESP (CMPP 3.0 §8.4.1.2), [`result`] for SUBMIT_RESP and DELIVER_RESP
//! (§8.4.3.2, §8.4.5.2). 100 to 199 belong to the carrier.

/// `Status` of CONNECT_RESP.
pub mod connect {
    use crate::words::codes;

    codes! { u32:
        OK = 0 "成功" "ok"
        STRUCTURE = 1 "消息结构错" "message structure"
        SOURCE_ADDR = 2 "非法源地址" "illegal source address"
        AUTHENTICATION = 3 "认证错" "authentication failed"
        VERSION = 4 "版本太高" "version too high"
        OTHER = 5 "其他错误" "other error"
    }
}

/// `Result` of SUBMIT_RESP and DELIVER_RESP.
pub mod result {
    use crate::words::codes;

    codes! { u32:
        OK = 0 "成功" "ok"
        STRUCTURE = 1 "消息结构错" "message structure"
        COMMAND = 2 "命令字错" "command id"
        DUPLICATE_SEQUENCE = 3 "消息序号重复" "duplicate sequence number"
        LENGTH = 4 "消息长度错" "message length"
        FEE_CODE = 5 "资费代码错" "fee code"
        TOO_LONG = 6 "超过最大信息长" "longer than allowed"
        SERVICE_ID = 7 "业务代码错" "service code"
        FLOW_CONTROL = 8 "流量控制错" "flow control"
        PAYER = 9 "网关不负责服务此计费号码（2.0：其他错误）" "gateway does not serve this payer (2.0: other error)"
        SRC_ID = 10 "Src_Id 错误" "wrong Src_Id"
        MSG_SRC = 11 "Msg_src 错误" "wrong Msg_src"
        FEE_TERMINAL_ID = 12 "Fee_terminal_Id 错误" "wrong Fee_terminal_Id"
        DEST_TERMINAL_ID = 13 "Dest_terminal_Id 错误" "wrong Dest_terminal_Id"
    }

    /// The result for a PDU of which this field cannot be read.
    pub(in crate::cmpp) fn fault(field: &'static str) -> u32 {
        match field {
            "length" | "msg_content" => LENGTH,
            _ => STRUCTURE,
        }
    }
}
