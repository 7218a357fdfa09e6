// SPDX-License-Identifier: MIT
// Signatures in minisign's format: what the real program writes is verified, and nothing else is.
// Invariant: the forgeries are made with the right key's own signatures: only the rule under test can refuse them.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "maps/trust/minisign.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/maps/signing.h"

namespace kudo {
namespace {

constexpr std::string_view document = R"({"serial": 7})";

std::string error_of(std::string_view signatures) {
    const auto parsed = parse_signatures(signatures, "x.minisig");
    return parsed ? "accepted" : parsed.error().message;
}

std::string key_error_of(std::string_view key) {
    const auto parsed = parse_public_key(key, "x.pub");
    return parsed ? "accepted" : parsed.error().message;
}

// Is the text one good signature file of this key over these bytes?
bool holds(std::string_view signatures, const PublicKey& key, std::string_view bytes) {
    const auto parsed = parse_signatures(signatures, "x.minisig");
    return parsed && parsed->size() == 1 && is_signed_by(parsed->front(), key, bytes);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);)
        lines.push_back(line);
    return lines;
}

// The signature file with the two letters that say what was signed replaced: no signature covers them.
std::string relabelled(const std::string& signatures, std::string_view letters) {
    const std::string line = lines_of(signatures)[1];
    std::string bytes(74, '\0');
    EXPECT_EQ(sodium_base642bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), line.data(), line.size(),
                                nullptr, nullptr, nullptr, sodium_base64_VARIANT_ORIGINAL),
              0);
    bytes.replace(0, letters.size(), letters);
    return replaced(signatures, line, base64(bytes));
}

// The real program, with a key of its own in a folder of its own.
class Minisign : public testing::Test {
protected:
    Minisign() {
        run({"-G", "-W", "-p", path("key.pub"), "-s", path("key.sec")});
        key = parse_public_key(read("key.pub"), "key.pub").value();
    }

    [[nodiscard]] std::string path(const std::string& name) const { return temporary_.path() / name; }
    [[nodiscard]] std::string read(const std::string& name) const {
        std::ifstream in(path(name), std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void write(const std::string& name, std::string_view bytes) const {
        std::ofstream(path(name), std::ios::binary) << bytes;
    }
    void run(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), "minisign");
        const test::Outcome outcome = test::run_program(arguments);
        if (outcome.status != 0) throw std::runtime_error("minisign: " + outcome.err);
    }
    [[nodiscard]] std::string sign(std::string_view bytes, const std::vector<std::string>& more = {}) const {
        write("document", bytes);
        std::vector<std::string> arguments{"-S", "-W",          "-s", path("key.sec"), "-m", path("document"),
                                           "-x", path("signed")};
        arguments.insert(arguments.end(), more.begin(), more.end());
        run(arguments);
        return read("signed");
    }
    // Does the program itself take it for good?
    [[nodiscard]] bool accepts(std::string_view signatures, const PublicKey& public_key, std::string_view bytes) const {
        write("document", bytes);
        write("signed", signatures);
        return test::run_program(
                   {"minisign", "-V", "-P", public_key.text(), "-m", path("document"), "-x", path("signed")})
                   .status == 0;
    }

    PublicKey key;

private:
    test::TemporaryFolder temporary_;
};

TEST_F(Minisign, SignatureOfTheProgramIsVerified) {
    const std::string signature = sign(document, {"-t", "serial 7, for acme"});
    const auto parsed = parse_signatures(signature, "x");
    ASSERT_TRUE(parsed) << parsed.error().message;
    ASSERT_EQ(parsed->size(), 1U);
    EXPECT_EQ(parsed->front().trusted_comment, "serial 7, for acme");
    EXPECT_EQ(parsed->front().key_id, key.id);
    EXPECT_TRUE(is_signed_by(parsed->front(), key, document));
    EXPECT_FALSE(is_signed_by(parsed->front(), key, std::string(document) + " "));
    EXPECT_FALSE(is_signed_by(parsed->front(), key, ""));
}

TEST_F(Minisign, ProgramsOwnTrustedCommentIsTaken) {
    EXPECT_TRUE(holds(sign(document), key, document));
}

TEST_F(Minisign, LargeAndEmptyDocumentsAreVerified) {
    const std::string large(3 * 1024 * 1024, 'x');
    EXPECT_TRUE(holds(sign(large), key, large));
    EXPECT_TRUE(holds(sign(""), key, ""));
}

TEST_F(Minisign, KeyIsReadAndWrittenAsTheProgramDoes) {
    const std::string file = read("key.pub");
    EXPECT_EQ(lines_of(file)[1], key.text());
    // minisign 0.10 prints an identifier without leading zeros.
    const std::string id = key.id_text().substr(key.id_text().find_first_not_of('0'));
    EXPECT_TRUE(lines_of(file)[0].ends_with(" " + id)) << file;
    EXPECT_EQ(parse_public_key(key.text(), "x").value(), key);
    EXPECT_EQ(parse_public_key(key.text() + "\n", "x").value(), key);
}

TEST_F(Minisign, SecretKeyGivenForThePublicOneIsNotQuoted) {
    const std::string secret = lines_of(read("key.sec"))[1];
    EXPECT_EQ(key_error_of(read("key.sec")), "x.pub: line 2: not the 56 characters of base64 that a public key is");
    EXPECT_EQ(key_error_of(secret), "x.pub: line 1: not the 56 characters of base64 that a public key is");
}

TEST_F(Minisign, ProgramAgreesWithTheKeysMadeByHand) {
    const Signer signer(1);
    EXPECT_TRUE(accepts(signer.sign(document), signer.public_key, document));
    EXPECT_TRUE(holds(signer.sign(document), signer.public_key, document));
    EXPECT_TRUE(accepts(signer.sign_legacy(document), signer.public_key, document));
}

TEST_F(Minisign, AnotherKeysSignatureIsRefusedAlsoUnderThisKeysId) {
    const Signer other(1);
    EXPECT_FALSE(holds(other.sign(document), key, document));
    PublicKey same_id = key;
    same_id.id = other.public_key.id;
    EXPECT_FALSE(holds(other.sign(document), same_id, document));
    PublicKey same_key = other.public_key;
    same_key.id = key.id;
    EXPECT_FALSE(holds(other.sign(document), same_key, document));
}

// Every bit of document and signature file counts, but for the untrusted comment's text: flipping that changes nothing,
// unless it makes a control character of it, which is refused.
TEST_F(Minisign, EveryFlippedBitIsRefused) {
    const std::string signature = sign(document);
    for (std::size_t bit = 0; bit < document.size() * 8; ++bit) {
        std::string flipped(document);
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
        EXPECT_FALSE(holds(signature, key, flipped)) << "document, bit " << bit;
    }
    const std::size_t comment = std::string_view("untrusted comment: ").size(), comment_end = signature.find('\n');
    unsigned unchanged = 0;
    for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
        std::string flipped = signature;
        const auto byte = static_cast<unsigned char>(flipped[bit / 8] ^ 1 << bit % 8);
        flipped[bit / 8] = static_cast<char>(byte);
        const bool in_comment = bit / 8 >= comment && bit / 8 < comment_end;
        const bool control = (byte < ' ' && byte != '\t') || byte == 127;
        EXPECT_EQ(holds(flipped, key, document), in_comment && !control) << "signature, bit " << bit;
        unchanged += in_comment && !control;
    }
    EXPECT_GT(unchanged, 100U);
}

TEST_F(Minisign, EveryCutSignatureFileIsRefused) {
    const std::string signature = sign(document);
    for (std::size_t size = 0; size + 1 < signature.size(); ++size) // the last line end may be missing
        EXPECT_FALSE(holds(signature.substr(0, size), key, document)) << size;
    EXPECT_TRUE(holds(signature.substr(0, signature.size() - 1), key, document));
}

TEST_F(Minisign, LineEndsOfWindowsAreTakenAsTheProgramTakesThem) {
    std::string signature = sign(document);
    for (std::size_t at = 0; (at = signature.find('\n', at)) != std::string::npos; at += 2)
        signature.replace(at, 1, "\r\n");
    EXPECT_TRUE(accepts(signature, key, document));
    EXPECT_TRUE(holds(signature, key, document));
    EXPECT_FALSE(holds(replaced(signature, "\r\n", "\r\r\n"), key, document));
}

TEST_F(Minisign, EmptyLinesBehindASignatureAreTakenAsTheProgramTakesThem) {
    for (const char* more : {"\n", "\r\n", "\n\n\r\n"}) {
        EXPECT_TRUE(accepts(sign(document) + more, key, document));
        EXPECT_TRUE(holds(sign(document) + more, key, document));
        EXPECT_EQ(parse_signatures(sign(document) + more + sign(document), "x").value().size(), 2U) << "concatenated";
    }
    EXPECT_FALSE(holds("\n" + sign(document), key, document)) << "nor does the program";
}

TEST_F(Minisign, TheCommentThatRsign2WritesForAHashedDocumentIsTaken) {
    EXPECT_TRUE(holds(sign(document, {"-t", "timestamp:1633700835\tfile:map.json\tprehashed"}), key, document));
}

TEST_F(Minisign, LegacySignatureIsRefusedAndSaysWhatToDo) {
    EXPECT_EQ(error_of(sign(document, {"-l"})),
              "x.minisig: line 2: a legacy signature, of the document and not of its hash; sign without -l");
}

// Forgery 1: the signer prehash-signs a document, as always. Its signature relabelled "Ed" is a right legacy signature
// of something that the signer never saw: the 64-byte file with the document's digest. The program is taken in.
TEST_F(Minisign, PrehashedSignatureRelabelledAsLegacyIsRefused) {
    const std::string forged = relabelled(sign(document), "Ed");
    ASSERT_TRUE(accepts(forged, key, digest_of(document)));
    EXPECT_FALSE(holds(forged, key, digest_of(document)));
    EXPECT_FALSE(holds(forged, key, document));
    EXPECT_EQ(error_of(forged),
              "x.minisig: line 2: a legacy signature, of the document and not of its hash; sign without -l");
    // Without the relabelling the digest would have to have itself as digest.
    EXPECT_FALSE(holds(sign(document), key, digest_of(document)));
}

// Forgery 2: the forger gets the signer to legacy-sign a harmless binary file of 64 bytes, which is the digest of a
// document that the signer never saw. Relabelled "ED" that is a right signature of the document, the trusted comment
// included, and the program is taken in. It shows here by the comment that the program writes for what it did not hash.
TEST_F(Minisign, LegacySignatureOfADigestRelabelledAsPrehashedIsRefused) {
    const std::string forged = relabelled(sign(digest_of(document), {"-l"}), "ED");
    ASSERT_TRUE(accepts(forged, key, document));
    EXPECT_FALSE(holds(forged, key, document));
    EXPECT_EQ(error_of(forged),
              "x.minisig: line 3: the trusted comment is of a legacy signature, whose document was not "
              "hashed; sign with minisign 0.10 or later and without -l");
}

// Forgery 2 where nobody can tell: with a comment of the signer's own, the bytes are those of a real signature. This
// test says where the limit is; what keeps such files from being made is that the key signs nothing with -l
// (minisign.h).
TEST_F(Minisign, LegacySignatureOfADigestWithACommentOfItsOwnIsARealSignatureByteForByte) {
    const std::vector<std::string> comment{"-t", "firmware.bin"};
    std::vector<std::string> legacy = comment;
    legacy.push_back("-l");
    const std::string forged = relabelled(sign(digest_of(document), legacy), "ED");
    EXPECT_EQ(lines_of(forged)[1], lines_of(sign(document, comment))[1]); // Ed25519 is deterministic
    EXPECT_EQ(lines_of(forged)[3], lines_of(sign(document, comment))[3]);
    EXPECT_TRUE(holds(forged, key, document));
}

// Forgery 2 with signify, which signs the file itself as well, with the same letters, but no comment: two lines. There
// is no global signature to be had from one such file, and none of the signatures at hand will do for it.
TEST(MinisignFormat, SignifysSignatureOfADigestIsRefusedInEveryDress) {
    const Signer signer(1);
    const std::string signature = signer.raw(digest_of(document));
    const std::string genuine = signer.sign(document), signify = signer.file("Ed", signature, "", "");
    EXPECT_EQ(error_of(signify.substr(0, signify.find("trusted comment: ", 10))),
              "x.minisig: line 2: a signify signature, which can be forged from others; sign with minisign");
    EXPECT_EQ(error_of(relabelled(signify, "ED").substr(0, signify.find("\ntrusted comment: ") + 1)),
              "x.minisig: line 3: missing; a signature has four lines");
    const std::string elsewhere = signer.raw(signer.raw(digest_of("another")) + "by hand");
    for (const std::string& global : {std::string(64, '\0'), signature, signer.raw("by hand"), elsewhere}) {
        EXPECT_FALSE(holds(signer.file("ED", signature, "by hand", global), signer.public_key, document));
        EXPECT_FALSE(holds(signer.file("ED", signature, "", global), signer.public_key, document));
    }
    // A second file signed, one that begins with the first one's signature, and it is whole: nobody can tell.
    const std::string second = signer.raw(signature + "by hand");
    EXPECT_EQ(signer.file("ED", signature, "by hand", second), genuine);
    EXPECT_TRUE(holds(signer.file("ED", signature, "by hand", second), signer.public_key, document));
}

// Forgery 3: the comment's signature shown as a document's, and a document's as a comment's.
TEST(MinisignFormat, SignatureOfOnePlaceDoesNotCountInTheOther) {
    const Signer signer(1);
    const std::string signature = signer.raw(digest_of(document)), global = signer.raw(signature + "by hand");
    EXPECT_FALSE(holds(signer.file("ED", global, "by hand", signature), signer.public_key, document));
    EXPECT_FALSE(holds(signer.file("ED", global, "by hand", global), signer.public_key, signature + "by hand"));
    EXPECT_FALSE(holds(signer.file("ED", signature, "by hand", signature), signer.public_key, document));
}

// What only the trusted comment's signature protects.
TEST(MinisignFormat, ChangedTrustedCommentIsRefusedThoughTheDocumentsSignatureIsRight) {
    const Signer signer(1);
    const std::string signature = signer.sign(document, "for acme");
    EXPECT_TRUE(holds(signature, signer.public_key, document));
    EXPECT_FALSE(holds(replaced(signature, "for acme", "for acmf"), signer.public_key, document));
    EXPECT_FALSE(holds(replaced(signature, "for acme", "for acme "), signer.public_key, document));
}

TEST(MinisignFormat, RightCommentDoesNotHelpAWrongSignatureOfTheDocument) {
    const Signer signer(1);
    for (const std::string& wrong : {std::string(64, '\0'), signer.raw(document), signer.raw(digest_of("another"))})
        EXPECT_FALSE(holds(signer.file("ED", wrong, "x", signer.raw(wrong + "x")), signer.public_key, document));
}

TEST(MinisignFormat, SignaturesStandOneBehindTheOther) {
    const Signer one(1), two(2);
    const auto parsed = parse_signatures(one.sign(document, "") + two.sign(document), "x");
    ASSERT_TRUE(parsed) << parsed.error().message;
    ASSERT_EQ(parsed->size(), 2U);
    EXPECT_TRUE(is_signed_by(parsed->at(0), one.public_key, document));
    EXPECT_TRUE(is_signed_by(parsed->at(1), two.public_key, document));
    EXPECT_FALSE(is_signed_by(parsed->at(0), two.public_key, document));
}

TEST(MinisignFormat, BrokenSignatureIsRefusedWithItsLineAndTheReason) {
    const std::string good = Signer(1).sign(document);
    const std::vector<std::string> lines = lines_of(good);
    const struct {
        std::string text, error;
    } table[] = {
        {"", "x.minisig: empty; a signature has four lines"},
        {"\n", "x.minisig: line 1: expected \"untrusted comment: \", the comment of a signature"},
        {replaced(good, "untrusted", "Untrusted"), "x.minisig: line 1: expected \"untrusted comment: \""},
        {replaced(good, "untrusted comment: ", "untrusted comment: \x1b[2J"), "line 1: has control characters"},
        {replaced(good, "by hand", std::string("\0", 1)), "line 1: has control characters"},
        {replaced(good, lines[1], lines[1] + " "), "line 2: not the 100 characters of base64"},
        {replaced(good, lines[1], lines[1] + "\r"), "accepted"},
        {replaced(good, lines[1], lines[1] + "\r\r"), "line 2: not the 100 characters of base64"},
        {replaced(good, lines[1], " " + lines[1].substr(1)), "line 2: not the 100 characters of base64"},
        {replaced(good, lines[1], lines[1].substr(0, 99)), "line 2: not the 100 characters of base64"},
        {replaced(good, lines[1], "===" + lines[1].substr(3)), "line 2: not the 100 characters of base64"},
        {replaced(good, lines[1], std::string(98, 'A') + "_="), "line 2: not the 100 characters of base64"},
        {replaced(good, lines[1], lines[1].substr(0, 98) + "B="), "line 2: not the 100 characters of base64"},
        {relabelled(good, "eD"), "line 2: not a minisign Ed25519 signature (\"ED\")"},
        {relabelled(good, "EE"), "line 2: not a minisign Ed25519 signature (\"ED\")"},
        {replaced(good, "\ntrusted", "\nTrusted"), "line 3: expected \"trusted comment: \""},
        {replaced(good, "\ntrusted comment: by", "\ntrusted comment: \x01"), "line 3: has control characters"},
        {replaced(good, lines[3], lines[3].substr(4)), "line 4: not the 88 characters of base64"},
        {replaced(good, lines[3], ""), "line 4: not the 88 characters of base64"},
        {good.substr(0, good.find(lines[3])), "x.minisig: line 4: missing; a signature has four lines"},
        {good + "\n", "accepted"},
        {good + "\njunk", "x.minisig: line 6: expected \"untrusted comment: \""},
        {good + "junk", "x.minisig: line 5: expected \"untrusted comment: \""},
        {good + lines[0], "x.minisig: line 6: missing; a signature has four lines"},
        {std::string(signatures_max_bytes + 1, 'x'), "x.minisig: 65537 bytes are too many; at most 65536 are read"},
    };
    for (const auto& [text, error] : table)
        EXPECT_NE(error_of(text).find(error), std::string::npos) << text << "\ngot " << error_of(text);
}

TEST(MinisignFormat, BrokenKeyIsRefusedWithTheReason) {
    const std::string good = Signer(1).public_key.text();
    const std::string bytes = "Ed12345678" + std::string(32, '\0');
    const struct {
        std::string text, error;
    } table[] = {
        {"", "x.pub: not a minisign public key; expected an untrusted comment and the key, or the key's line alone"},
        {"untrusted comment: x", "x.pub: not a minisign public key"},
        {"untrusted comment: x\n\n" + good, "x.pub: not a minisign public key"},
        {"\n\n", "x.pub: not a minisign public key"},
        {"untrusted comment: \x1b\n" + good, "x.pub: not a minisign public key"},
        {good + "\n" + good, "x.pub: not a minisign public key"},
        {" " + good, "x.pub: line 1: not the 56 characters of base64"},
        {good.substr(1), "x.pub: line 1: not the 56 characters of base64"},
        {"untrusted comment: x\n" + good + "=", "x.pub: line 2: not the 56 characters of base64"},
        {base64("ED" + bytes.substr(2)), "x.pub: line 1: not an Ed25519 key"},
        {base64(bytes), "x.pub: line 1: damaged"},
        {base64(bytes.substr(0, 10) + "\x01" + bytes.substr(11)), "x.pub: line 1: damaged"}, // the neutral element
    };
    for (const auto& [text, error] : table)
        EXPECT_NE(key_error_of(text).find(error), std::string::npos) << text << "\ngot " << key_error_of(text);
}

} // namespace
} // namespace kudo
