// SPDX-License-Identifier: MIT
// One value has one text: base64 without stray characters, unused bits or missing padding.
#include "maps/trust/minisign.h"

#include <algorithm>
#include <optional>
#include <span>

#include <fmt/format.h>
#include <sodium.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::string_view untrusted = "untrusted comment: ";
constexpr std::string_view trusted = "trusted comment: ";

constexpr std::size_t base64_length(std::size_t bytes) {
    return (bytes + 2) / 3 * 4;
}

// An end after the last line begins no further line.
std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines = split(text, '\n');
    if (lines.back().empty()) lines.pop_back();
    for (std::string_view& line : lines)
        if (line.ends_with('\r')) line.remove_suffix(1);
    return lines;
}

bool has_control_characters(std::string_view line) {
    return std::ranges::any_of(line, [](unsigned char c) { return (c < ' ' && c != '\t') || c == 127; });
}

template <std::size_t Size> std::string to_base64(const std::array<uint8_t, Size>& bytes) {
    std::array<char, base64_length(Size) + 1> text; // with the NUL
    return sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), sodium_base64_VARIANT_ORIGINAL);
}

// Exactly Size bytes. nullopt: too short, too long, or not what to_base64() makes of them.
template <std::size_t Size> std::optional<std::array<uint8_t, Size>> from_base64(std::string_view text) {
    std::array<uint8_t, Size> bytes;
    std::size_t size = 0;
    if (text.size() != base64_length(Size) ||
        sodium_base642bin(bytes.data(), bytes.size(), text.data(), text.size(), nullptr, &size, nullptr,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        size != Size)
        return std::nullopt;
    // libsodium 1.0.18 takes some bytes above 127 for characters of base64.
    if (to_base64(bytes) != text) return std::nullopt;
    return bytes;
}

template <std::size_t Size> std::array<uint8_t, Size> part_of(std::span<const uint8_t> bytes, std::size_t from) {
    std::array<uint8_t, Size> part;
    std::ranges::copy(bytes.subspan(from, Size), part.begin());
    return part;
}

std::string_view algorithm_of(std::span<const uint8_t> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), 2};
}

// The comment that minisign since 0.10 writes of itself for what it did not hash. For what it hashed it adds "hashed",
// and rsign2 "prehashed".
bool is_default_comment_of_legacy(std::string_view comment) {
    constexpr std::string_view start = "timestamp:";
    if (!comment.starts_with(start)) return false;
    comment.remove_prefix(start.size());
    const std::size_t digits = std::min(comment.find_first_not_of("0123456789"), comment.size());
    comment.remove_prefix(digits);
    return digits > 0 && comment.starts_with("\tfile:") && !comment.ends_with("\thashed") &&
           !comment.ends_with("\tprehashed");
}

// Takes signature after signature off the lines of a text.
class SignatureReader {
public:
    SignatureReader(std::string_view text, std::string_view name) : lines_(lines_of(text)), name_(name) {}

    [[nodiscard]] bool at_end() const { return next_ == lines_.size(); }
    // Behind a signature, as minisign, which reads four lines and no more.
    void skip_empty_lines() {
        while (!at_end() && lines_[next_].empty())
            ++next_;
    }

    Result<Signature> read() {
        Signature result;
        const auto comment = KUDO_TRY(read_line(untrusted, "of a signature"));
        if (has_control_characters(comment)) return refuse("has control characters");
        KUDO_TRY(read_signature(result));
        const auto trusted_comment = KUDO_TRY(read_line(trusted, "that the signature covers"));
        if (has_control_characters(trusted_comment)) return refuse("has control characters");
        if (is_default_comment_of_legacy(trusted_comment))
            return refuse("the trusted comment is of a legacy signature, whose document was not hashed; sign with "
                          "minisign 0.10 or later and without -l");
        result.trusted_comment = trusted_comment;
        const auto global = from_base64<64>(take());
        if (!global) return refuse("not the 88 characters of base64 that the trusted comment's signature is");
        result.global_signature = *global;
        return result;
    }

private:
    std::string_view take() {
        const std::string_view line = at_end() ? std::string_view{} : lines_[next_];
        ++next_;
        return line;
    }

    // What follows `start` in the next line.
    Result<std::string_view> read_line(std::string_view start, std::string_view what) {
        const std::string_view line = take();
        if (!line.starts_with(start)) return refuse(fmt::format("expected \"{}\", the comment {}", start, what));
        return line.substr(start.size());
    }

    Result<void> read_signature(Signature& result) {
        const auto bytes = from_base64<74>(take());
        if (!bytes) return refuse("not the 100 characters of base64 that a signature is");
        if (algorithm_of(*bytes) == "Ed") {
            const bool has_comment = !at_end() && lines_[next_].starts_with(trusted);
            return refuse(has_comment ? "a legacy signature, of the document and not of its hash; sign without -l"
                                      : "a signify signature, which can be forged from others; sign with "
                                        "minisign");
        }
        if (algorithm_of(*bytes) != "ED") return refuse("not a minisign Ed25519 signature (\"ED\")");
        result.key_id = part_of<8>(*bytes, 2);
        result.signature = part_of<64>(*bytes, 10);
        return {};
    }

    // Of the line taken last.
    [[nodiscard]] tl::unexpected<Error> refuse(std::string_view what) const {
        if (next_ > lines_.size())
            return bad_input(fmt::format("{}: line {}: missing; a signature has four lines", name_, next_));
        return bad_input(fmt::format("{}: line {}: {}", name_, next_, what));
    }

    std::vector<std::string_view> lines_;
    std::string_view name_;
    std::size_t next_ = 0;
};

} // namespace

std::string id_text(const std::array<uint8_t, 8>& key_id) {
    std::string text;
    for (auto byte = key_id.rbegin(); byte != key_id.rend(); ++byte)
        text += fmt::format("{:02X}", *byte);
    return text;
}

std::string PublicKey::id_text() const {
    return kudo::id_text(id);
}

std::string PublicKey::text() const {
    std::array<uint8_t, 42> bytes{'E', 'd'};
    std::ranges::copy(id, bytes.begin() + 2);
    std::ranges::copy(key, bytes.begin() + 10);
    return to_base64(bytes);
}

Result<PublicKey> parse_public_key(std::string_view text, std::string_view name) {
    std::vector<std::string_view> lines = lines_of(text);
    while (!lines.empty() && lines.back().empty()) // an editor's empty line at the end
        lines.pop_back();
    const auto refuse = [&](std::string_view what) { return bad_input(fmt::format("{}: {}", name, what)); };
    const bool has_comment = !lines.empty() && lines[0].starts_with(untrusted);
    if (lines.size() != (has_comment ? 2U : 1U) || (has_comment && has_control_characters(lines[0])))
        return refuse("not a minisign public key; expected an untrusted comment and the key, or the key's line "
                      "alone");
    const auto bytes = from_base64<42>(lines.back());
    if (!bytes)
        return refuse(fmt::format("line {}: not the 56 characters of base64 that a public key is", lines.size()));
    // Here "Ed" is correct: minisign writes it for every key, whatever the key is going to sign.
    if (algorithm_of(*bytes) != "Ed") return refuse(fmt::format("line {}: not an Ed25519 key", lines.size()));
    const PublicKey key{.id = part_of<8>(*bytes, 2), .key = part_of<32>(*bytes, 10)};
    if (crypto_core_ed25519_is_valid_point(key.key.data()) != 1)
        return refuse(fmt::format("line {}: damaged: no secret key can exist for this public key", lines.size()));
    return key;
}

Result<std::vector<Signature>> parse_signatures(std::string_view text, std::string_view name) {
    if (text.size() > signatures_max_bytes)
        return bad_input(
            fmt::format("{}: {} bytes are too many; at most {} are read", name, text.size(), signatures_max_bytes));
    if (text.empty()) return bad_input(fmt::format("{}: empty; a signature has four lines", name));
    std::vector<Signature> signatures;
    SignatureReader reader(text, name);
    while (!reader.at_end()) {
        auto signature = KUDO_TRY(reader.read());
        signatures.push_back(std::move(signature));
        reader.skip_empty_lines();
    }
    return signatures;
}

bool is_signed_by(const Signature& signature, const PublicKey& key, std::string_view bytes) {
    if (signature.key_id != key.id) return false;
    // First what costs less: a document is hashed only for who has signed the comment.
    std::vector<uint8_t> covered(signature.signature.begin(), signature.signature.end());
    covered.insert(covered.end(), signature.trusted_comment.begin(), signature.trusted_comment.end());
    if (crypto_sign_verify_detached(signature.global_signature.data(), covered.data(), covered.size(),
                                    key.key.data()) != 0)
        return false;
    [[maybe_unused]] const int ready = sodium_init(); // idempotent; picks the fast code
    std::array<uint8_t, 64> digest;
    crypto_generichash(digest.data(), digest.size(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(),
                       nullptr, 0);
    return crypto_sign_verify_detached(signature.signature.data(), digest.data(), digest.size(), key.key.data()) == 0;
}

} // namespace kudo
