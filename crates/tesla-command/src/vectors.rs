//! Published numbers of the protocol, for the tests.
//!
//! From `pkg/protocol/protocol.md` and the tests under `internal/authentication` of
//! <https://github.com/teslamotors/vehicle-command>; those without an HMAC example were computed from the same keys.

pub(crate) const VIN: &str = "5YJ30123456789ABC";
pub(crate) const OWN_PRIVATE: &str = "2538cdc29a97c19c1e99a637d6cf4f8c970c118b56ede1e6323e6d162c4b30db";
pub(crate) const OWN_PUBLIC: &str = "04b2b6bc68c2da0665ce656815594996c62394edd8bea905fe781a754fe6a845a7\
    14330902f225e9269d466e05b349981fda9d85cc23c6fb444aa73b629105dc6e";
pub(crate) const CAR_PRIVATE: &str = "344ee5b466a7cf1eeb12b6f50331db2e5ec5834ef5f4befcfd8cbe55c2528d70";
pub(crate) const CAR_PUBLIC: &str = "04c7a1f47138486aa4729971494878d33b1a24e39571f748a6e16c5955b3d877d3\
    a6aaa0e955166474af5d32c410f439a2234137ad1bb085fd4e8813c958f11d97";
pub(crate) const SHARED_KEY: &str = "1b2fce19967b79db696f909cff89ea9a";
pub(crate) const SESSION_INFO_KEY: &str = "fceb679ee7bca756fcd441bf238bf2f338629b41d9eb9c67be1b32c9672ce300";
pub(crate) const COMMAND_KEY: &str = "6d3a14d0b6d762e4f076739e2cf6edd291d2e56e3f25bc6a2af5cb26dc753b14";
pub(crate) const UUID: &str = "1588d5a30eabc6f8fc9a951b11f6fd11";
pub(crate) const ADDRESS: &str = "101112131415161718191a1b1c1d1e1f";
pub(crate) const EPOCH: &str = "4c463f9cc0d3d26906e982ed224adde6";
pub(crate) const SESSION_INFO: &str = "0806124104c7a1f47138486aa4729971494878d33b1a24e39571f748a6e16c5955b3d877d3\
    a6aaa0e955166474af5d32c410f439a2234137ad1bb085fd4e8813c958f11d971a104c463f9cc0d3d26906e982ed224adde6255a0a0000";
pub(crate) const SESSION_INFO_METADATA: &str =
    "000106021135594a333031323334353637383941424306101588d5a30eabc6f8fc9a951b11f6fd11ff";
pub(crate) const SESSION_INFO_TAG: &str = "996c1fe38331be138f8039c194b14db2198846ed7d8251e6749284d7b32ea002";
pub(crate) const HANDSHAKE_REQUEST: &str = "320208033a121210101112131415161718191a1b1c1d1e1f72430a4104b2b6bc68c2da06\
    65ce656815594996c62394edd8bea905fe781a754fe6a845a714330902f225e9269d466e05b349981fda9d85cc23c6fb444aa73b629105dc6e\
    9a03101588d5a30eabc6f8fc9a951b11f6fd11";
pub(crate) const HANDSHAKE_REPLY: &str = "32121210101112131415161718191a1b1c1d1e1f3a0208036a2432220a20996c1fe38331be13\
    8f8039c194b14db2198846ed7d8251e6749284d7b32ea0027a5c0806124104c7a1f47138486aa4729971494878d33b1a24e39571f748a6e16c\
    5955b3d877d3a6aaa0e955166474af5d32c410f439a2234137ad1bb085fd4e8813c958f11d971a104c463f9cc0d3d26906e982ed224adde625\
    5a0a00009203101588d5a30eabc6f8fc9a951b11f6fd11";
pub(crate) const HMAC_METADATA: &str = "000108010103021135594a333031323334353637383941424303104c463f9cc0d3d26906e982ed\
    224adde6040400000a5f050400000007ff";
pub(crate) const CHARGE_START_MESSAGE: &str = "320208033a121210101112131415161718191a1b1c1d1e1f52061204320212006a82010a\
    430a4104b2b6bc68c2da0665ce656815594996c62394edd8bea905fe781a754fe6a845a714330902f225e9269d466e05b349981fda9d85cc23\
    c6fb444aa73b629105dc6e423b0a104c463f9cc0d3d26906e982ed224adde610071d5f0a000022200cd72f9bf441e254299bce9e188163795b\
    00b434859d35f1bec9f0c8212b62f69a03101588d5a30eabc6f8fc9a951b11f6fd11";
/// Debug output of the vendor's program: its fields are not in the order of their numbers.
pub(crate) const LIST_KEYS: &str =
    "320208023a1212100a7962c10d38b61dd2a7722780a4f0969a031005514f57616bcc81a8ce0f9d7b48322952040a020805";
pub(crate) const GCM_NONCE: &str = "dbf79447fa156674dae1caed";
pub(crate) const GCM_PLAIN: &str = "120452020801";
pub(crate) const GCM_CIPHERTEXT: &str = "38038e8c0f2e";
pub(crate) const GCM_TAG: &str = "8e128da165f162f4d7d2c8da866cf82a";
pub(crate) const LEADING_ZERO_PRIVATE: &str = "5260f8d6113875d86f8ee8fea340df1ffb40c658b5455e8c33d797c53a41afd3";
pub(crate) const LEADING_ZERO_PUBLIC: &str = "0407fb60b65b94e0de4a954c53be10003d9e69918dedfda5f4e9efb9ebd8c5bd672a53\
    991c4068865d5fb44f97f6cecf8398f261dd1d7bc69be676afdc8ffacbcc";
pub(crate) const LEADING_ZERO_X: &str = "0072d5b815207a04f0c795fba0ba9e8add3f1f57148c51fface22ca15e6fd845";

/// Bytes of a hexadecimal text; spaces are skipped.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits")).collect()
}
