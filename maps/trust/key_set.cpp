// SPDX-License-Identifier: MIT
// Reads key sets, counts whose signatures a document has.
// Invariant: a key counts once, however often it has signed; no key set is satisfied by no signatures, whatever its
// threshold says.
#include "maps/trust/key_set.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "maps/base/text.h"
#include "maps/document/fields.h"

namespace kudo {
namespace {

constexpr std::array<Field, 5> key_set_fields{
    {{"format"}, {"serial"}, {"threshold"}, {"keys"}, {"serial_floor", false}}};

Result<PublicKey> read_key(const Text& text) {
    auto key = parse_public_key(text.value, text.path);
    // One key, one text: no comment, no line end.
    if (key && key->text() != text.value) return wrong(text.path, "write the key's line alone: " + key->text());
    return key;
}

Result<void> read_keys(KeySet& keys, const Json& root) {
    const auto texts = KUDO_TRY(read_set(root, "", "keys"));
    if (texts.empty()) return wrong("keys", "empty; a key set has at least one key");
    if (texts.size() > key_set_max_keys)
        return wrong("keys", fmt::format("{} are too many; a key set has at most {}", texts.size(), key_set_max_keys));
    std::set<std::string> ids;
    for (const Text& text : texts) {
        const auto key = KUDO_TRY(read_key(text));
        if (!ids.insert(key.id_text()).second)
            return wrong(text.path, fmt::format("a second key with the id {}", key.id_text()));
        keys.keys.push_back(key);
    }
    std::ranges::sort(keys.keys);
    return {};
}

Result<void> read_threshold(KeySet& keys, const Json& root) {
    const Json& value = root.at("threshold");
    const uint64_t threshold = value.is_number_unsigned() ? value.get<uint64_t>() : 0;
    if (threshold < 1 || threshold > keys.keys.size())
        return wrong("threshold",
                     fmt::format("must be a whole number from 1 to {}, the number of keys", keys.keys.size()));
    keys.threshold = static_cast<unsigned>(threshold);
    return {};
}

// By whom a document is signed, by key id.
struct Count {
    std::set<std::string> valid, invalid, unknown;
};

Count count(const KeySet& keys, std::string_view bytes, const std::vector<Signature>& signatures) {
    Count result;
    for (const Signature& signature : signatures) {
        const std::string id = id_text(signature.key_id);
        if (result.valid.contains(id)) continue;
        bool known = false, valid = false;
        for (const PublicKey& key : keys.keys) {
            if (key.id != signature.key_id) continue;
            known = true;
            valid = valid || is_signed_by(signature, key, bytes);
        }
        (valid ? result.valid : known ? result.invalid : result.unknown).insert(id);
    }
    for (const std::string& id : result.valid)
        result.invalid.erase(id);
    return result;
}

// "KEY, KEY, KEY and 4 more"
std::string some_of(const std::set<std::string>& ids) {
    constexpr std::size_t max_shown = 3;
    std::vector<std::string> some;
    for (const std::string& id : ids) {
        if (some.size() < max_shown) some.push_back(id);
    }
    return joined(some) + (ids.size() > max_shown ? fmt::format(" and {} more", ids.size() - max_shown) : "");
}

} // namespace

Result<KeySet> key_set_from(const Json& root) {
    KUDO_TRY(check_format(root, key_set_format, key_set_fields));
    KeySet keys;
    keys.serial = KUDO_TRY(read_serial(root, "", "serial"));
    if (root.contains("serial_floor")) keys.serial_floor = KUDO_TRY(read_serial(root, "", "serial_floor"));
    KUDO_TRY(read_keys(keys, root));
    KUDO_TRY(read_threshold(keys, root));
    return keys;
}

Result<KeySet> parse_key_set(std::string_view json, std::string_view name) {
    return key_set_from(KUDO_TRY(read_json(json).in(name))).in(name);
}

std::string to_json(const KeySet& keys) {
    nlohmann::ordered_json out{
        {"format", key_set_format}, {"serial", keys.serial}, {"threshold", keys.threshold}, {"keys", Json::array()}};
    for (const PublicKey& key : keys.keys)
        out["keys"].push_back(key.text());
    if (keys.serial_floor != 0) out["serial_floor"] = keys.serial_floor;
    return out.dump(2) + "\n";
}

bool is_key_set(const Json& root) {
    const auto format = root.find("format");
    return format != root.end() && format->is_string() &&
           format->get_ref<const std::string&>().starts_with("kudo-key-set/");
}

Result<std::vector<std::string>> verify(const KeySet& keys, std::string_view bytes, std::string_view signatures,
                                        std::string_view name) {
    const std::size_t needed = std::max(keys.threshold, 1U);
    if (keys.keys.empty())
        return bad_input(fmt::format("{}: no key is trusted here, so nothing counts as signed", name));
    if (signatures.empty())
        return bad_input(
            fmt::format("{}: not signed; expected the signatures of {} of {} keys", name, needed, keys.keys.size()));
    const auto parsed = KUDO_TRY(parse_signatures(signatures, fmt::format("{}: signatures", name)));
    const Count counted = count(keys, bytes, parsed);
    if (counted.valid.size() >= needed) return std::vector(counted.valid.begin(), counted.valid.end());
    std::string message = fmt::format("{}: signed by {} of {} needed keys", name, counted.valid.size(), needed);
    if (!counted.invalid.empty())
        message += fmt::format("; invalid signature, or the document was changed: key {}", some_of(counted.invalid));
    if (!counted.unknown.empty()) message += fmt::format("; not trusted here: key {}", some_of(counted.unknown));
    return bad_input(std::move(message));
}

Result<void> check_rotation(const KeySet& current, const KeySet& next, std::string_view bytes,
                            std::string_view signatures, std::string_view name) {
    KUDO_TRY(verify(current, bytes, signatures, name));
    KUDO_TRY(verify(next, bytes, signatures, fmt::format("{}, by its own keys", name)));
    if (next.serial <= current.serial)
        return bad_input(fmt::format("{}: serial: {} is not higher than that of the current key set, {}", name,
                                     next.serial, current.serial));
    return {};
}

} // namespace kudo
