"""Writes files of the editions 2023 and 2024 with features set at random places, and what protobuf makes of each field.

One line of JSON a file: `set` (a serialized FileDescriptorSet in hex), `package`, and for every field of the messages `M0`, `M1` …
`message`, `name`, `repeated`, `presence`, `required`, `packed`, `group` and, for enums, `closed`. Combinations that protobuf itself
refuses are left out. Usage: editions.py FILES
"""

import json
import random
import sys

from google.protobuf import descriptor_pb2 as pb
from google.protobuf import descriptor_pool

F = pb.FieldDescriptorProto
SCALARS = [getattr(F, "TYPE_" + name) for name in (
    "DOUBLE FLOAT INT64 UINT64 INT32 FIXED64 FIXED32 BOOL STRING BYTES UINT32 SFIXED32 SFIXED64 SINT32 SINT64").split()]
UNPACKED = (F.TYPE_STRING, F.TYPE_BYTES, F.TYPE_MESSAGE)


def maybe(dice, features, **choices):
    for name, values in choices.items():
        if dice.random() < 0.4:
            setattr(features, name, dice.choice(values))


def around(dice, features, presence):
    choices = {"repeated_field_encoding": (1, 2), "message_encoding": (1, 2), "enum_type": (1, 2)}
    if presence:
        choices["field_presence"] = (1, 2)
    maybe(dice, features, **choices)


def declare(dice, message, number, package):
    field = message.field.add(name=f"f{number}", number=number)
    field.label = F.LABEL_REPEATED if dice.random() < 0.35 else F.LABEL_OPTIONAL
    roll = dice.random()
    if roll < 0.3:
        field.type, field.type_name = F.TYPE_MESSAGE, f".{package}.{dice.choice(['Part', 'M0', message.name + '.Inner'])}"
    elif roll < 0.5:
        field.type, field.type_name = F.TYPE_ENUM, f".{package}.{dice.choice(['E', message.name + '.E'])}"
    elif roll < 0.6:
        entry = message.nested_type.add(name=f"F{number}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=F.LABEL_OPTIONAL, type=F.TYPE_STRING)
        entry.field.add(name="value", number=2, label=F.LABEL_OPTIONAL, type=F.TYPE_MESSAGE, type_name=f".{package}.Part")
        field.label, field.type = F.LABEL_REPEATED, F.TYPE_MESSAGE
        field.type_name = f".{package}.{message.name}.{entry.name}"
        return
    else:
        field.type = dice.choice(SCALARS)
    features = pb.FeatureSet()
    if field.label == F.LABEL_REPEATED:
        if field.type not in UNPACKED:
            maybe(dice, features, repeated_field_encoding=(1, 2))
    elif message.oneof_decl and dice.random() < 0.3:
        field.oneof_index = dice.randrange(len(message.oneof_decl))
    else:
        maybe(dice, features, field_presence=(1, 3) if field.type == F.TYPE_MESSAGE else (1, 2, 3))
    if field.type == F.TYPE_MESSAGE:
        maybe(dice, features, message_encoding=(1, 2))
    if features.ByteSize():
        field.options.features.CopyFrom(features)


def declare_enum(dice, where):
    enum = where.enum_type.add(name="E")
    enum.value.add(name="ZERO", number=0)
    features = pb.FeatureSet()
    maybe(dice, features, enum_type=(1, 2))
    if features.ByteSize():
        enum.options.features.CopyFrom(features)


def make(dice, index):
    package = f"e{index}"
    file = pb.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="editions")
    file.edition = dice.choice((pb.EDITION_2023, pb.EDITION_2024))
    around(dice, file.options.features, True)
    declare_enum(dice, file)
    file.message_type.add(name="Part")
    for number in range(2):
        message = file.message_type.add(name=f"M{number}")
        around(dice, message.options.features, False)
        message.nested_type.add(name="Inner")
        declare_enum(dice, message)
        for oneof in range(dice.randrange(3)):
            message.oneof_decl.add(name=f"o{oneof}")
            around(dice, message.oneof_decl[oneof].options.features, False)
        for field in range(1, 9):
            declare(dice, message, field, package)
        # A oneof without members is none.
        used = sorted({field.oneof_index for field in message.field if field.HasField("oneof_index")})
        for field in message.field:
            if field.HasField("oneof_index"):
                field.oneof_index = used.index(field.oneof_index)
        kept = [message.oneof_decl[index] for index in used]
        del message.oneof_decl[:]
        message.oneof_decl.extend(kept)
        holder = file.message_type.add(name=f"W{number}")
        holder.field.add(name="many", number=1, label=F.LABEL_REPEATED, type=F.TYPE_MESSAGE, type_name=f".{package}.M{number}")
        holder.field[0].options.features.message_encoding = 1
    return package, file


def main():
    dice = random.Random(2023)
    made = tried = 0
    while made < int(sys.argv[1]):
        tried += 1
        package, file = make(dice, tried)
        pool = descriptor_pool.DescriptorPool()
        try:
            pool.AddSerializedFile(file.SerializeToString())
            messages = [pool.FindMessageTypeByName(f"{package}.M{number}") for number in range(2)]
        except TypeError:
            continue
        made += 1
        fields = [{
            "message": field.containing_type.name, "name": field.name, "repeated": field.is_repeated, "presence": field.has_presence,
            "required": field.is_required, "packed": field.is_packed, "group": field.type == field.TYPE_GROUP,
            "closed": field.enum_type.is_closed if field.enum_type else None,
        } for message in messages for field in message.fields]
        set_of = pb.FileDescriptorSet(file=[file])
        print(json.dumps({"package": package, "set": set_of.SerializeToString().hex(), "fields": fields}))
    print(f"{made} of {tried}", file=sys.stderr)


main()
