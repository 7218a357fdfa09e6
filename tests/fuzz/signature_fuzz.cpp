// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as signatures, as a public key, as a key set, and as a document with its signatures.
// Built with -fsanitize=fuzzer,address,undefined. None of the keys in the corpus has a secret half any more.
// Invariant: what was made without the secret key never verifies; a key and a key set that are read are written and
// read back unchanged; a refusal is one printable line.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "maps/trust/key_set.h"
#include "maps/trust/minisign.h"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

template <typename T> void require_one_line(const kudo::Result<T>& refused) {
    const std::string& message = refused.error().message;
    for (const char character : message)
        require(character >= ' ' && character <= '~');
    require(message.size() < 4096);
}

// A key whose secret half was thrown away, and the same under an id that the fuzzer finds of itself.
const kudo::KeySet& fixed_keys() {
    static const kudo::KeySet keys = [] {
        const auto key = kudo::parse_public_key("RWSdMk74Vv4ssim9alWgRs7t7HNEXQoje1krFx6evtjhqiVmo6QAsdEp", "fixed");
        require(key.has_value());
        kudo::PublicKey other = *key;
        other.id = {};
        return kudo::KeySet{.keys = {other, *key}, .threshold = 1, .serial = 1};
    }();
    return keys;
}

void check_public_key(std::string_view text) {
    const auto key = kudo::parse_public_key(text, "fuzz");
    if (!key) return require_one_line(key);
    const auto again = kudo::parse_public_key(key->text(), "again");
    require(again.has_value() && *again == *key);
    require(text.find(key->text()) != std::string_view::npos); // one key, one text
    require(key->id_text().size() == 16);
}

void check_key_set(std::string_view text) {
    const auto keys = kudo::parse_key_set(text, "fuzz");
    if (!keys) return require_one_line(keys);
    require(kudo::is_key_set(kudo::read_json(text).value()));
    require(!keys->keys.empty() && keys->threshold >= 1 && keys->threshold <= keys->keys.size() && keys->serial >= 1);
    const std::string once = kudo::to_json(*keys);
    const auto again = kudo::parse_key_set(once, "again");
    require(again.has_value() && kudo::to_json(*again) == once);
}

void check_signatures(std::string_view text, std::string_view document) {
    const auto signatures = kudo::parse_signatures(text, "fuzz");
    if (signatures) {
        require(!signatures->empty());
        for (const kudo::Signature& signature : *signatures) {
            require(signature.trusted_comment.find_first_of(std::string_view("\0\r\n\x1b", 4)) == std::string::npos);
            for (const kudo::PublicKey& key : fixed_keys().keys)
                require(!kudo::is_signed_by(signature, key, document));
        }
    } else {
        require_one_line(signatures);
    }
    const auto verified = kudo::verify(fixed_keys(), document, text, "fuzz");
    require(!verified);
    require_one_line(verified);
    const auto rotated = kudo::check_rotation(fixed_keys(), fixed_keys(), document, text, "fuzz");
    require(!rotated);
    require_one_line(rotated);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check_public_key(text);
    check_key_set(text);
    check_signatures(text, "document");
    // A document, a NUL byte, its signatures.
    const std::size_t border = text.find('\0');
    if (border != std::string_view::npos) check_signatures(text.substr(border + 1), text.substr(0, border));
    return 0;
}
