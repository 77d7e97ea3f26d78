//! The few messages of google/protobuf/descriptor.proto that matter, declared here: prost-types drops custom options and knows no
//! editions. Our extension is a field of its own.

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FileSet {
    #[prost(message, repeated, tag = "1")]
    pub(super) file: Vec<FileProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FileProto {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) package: Option<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) message_type: Vec<MessageProto>,
    #[prost(message, repeated, tag = "5")]
    pub(super) enum_type: Vec<EnumProto>,
    #[prost(message, repeated, tag = "7")]
    pub(super) extension: Vec<FieldProto>,
    #[prost(message, optional, tag = "8")]
    pub(super) options: Option<FileOptions>,
    #[prost(string, optional, tag = "12")]
    pub(super) syntax: Option<String>,
    #[prost(int32, optional, tag = "14")]
    pub(super) edition: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MessageProto {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    pub(super) field: Vec<FieldProto>,
    #[prost(message, repeated, tag = "3")]
    pub(super) nested_type: Vec<MessageProto>,
    #[prost(message, repeated, tag = "4")]
    pub(super) enum_type: Vec<EnumProto>,
    #[prost(message, repeated, tag = "6")]
    pub(super) extension: Vec<FieldProto>,
    #[prost(message, optional, tag = "7")]
    pub(super) options: Option<MessageOptions>,
    #[prost(message, repeated, tag = "8")]
    pub(super) oneof_decl: Vec<OneofProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MessageOptions {
    #[prost(bool, optional, tag = "7")]
    pub(super) map_entry: Option<bool>,
    #[prost(message, optional, tag = "12")]
    pub(super) features: Option<FeatureSet>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FileOptions {
    #[prost(message, optional, tag = "50")]
    pub(super) features: Option<FeatureSet>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OneofProto {
    #[prost(message, optional, tag = "2")]
    pub(super) options: Option<OneofOptions>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OneofOptions {
    #[prost(message, optional, tag = "1")]
    pub(super) features: Option<FeatureSet>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EnumOptions {
    #[prost(message, optional, tag = "7")]
    pub(super) features: Option<FeatureSet>,
}

/// Enums as their numbers: what a later edition adds is refused by name, not read as something else.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct FeatureSet {
    #[prost(int32, optional, tag = "1")]
    pub(super) field_presence: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub(super) enum_type: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub(super) repeated_field_encoding: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub(super) message_encoding: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FieldProto {
    /// The message that an extension extends.
    #[prost(string, optional, tag = "2")]
    pub(super) extendee: Option<String>,
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(super) number: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub(super) label: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub(super) r#type: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub(super) type_name: Option<String>,
    #[prost(message, optional, tag = "8")]
    pub(super) options: Option<FieldOptions>,
    /// Also set where the field is `optional` in proto3: such a field is alone in a oneof of the compiler's making.
    #[prost(int32, optional, tag = "9")]
    pub(super) oneof_index: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FieldOptions {
    #[prost(bool, optional, tag = "2")]
    pub(super) packed: Option<bool>,
    #[prost(bool, optional, tag = "16")]
    pub(super) debug_redact: Option<bool>,
    #[prost(message, optional, tag = "21")]
    pub(super) features: Option<FeatureSet>,
    /// `twinveil.v1.field`. Compilers write one occurrence a statement, so there may be several to merge.
    #[prost(bytes = "vec", repeated, tag = "51818")]
    pub(super) field: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EnumProto {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    pub(super) value: Vec<EnumValueProto>,
    #[prost(message, optional, tag = "3")]
    pub(super) options: Option<EnumOptions>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EnumValueProto {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub(super) number: Option<i32>,
}
