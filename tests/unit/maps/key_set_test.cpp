// SPDX-License-Identifier: MIT
// Key sets: whose signatures count, how many are needed, how one set follows another.
// Invariant: each test names one behaviour; every refusal's text is checked, so that nothing is refused for another
// reason.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "maps/trust/key_set.h"
#include "tests/unit/maps/signing.h"

namespace kudo {
namespace {

constexpr std::string_view document = R"({"serial": 7})";

KeySet set_of(std::vector<PublicKey> keys, unsigned threshold, uint64_t serial = 0) {
    std::ranges::sort(keys);
    return {.keys = std::move(keys), .threshold = threshold, .serial = serial};
}

// The ids, or the error.
std::string verified(const KeySet& keys, std::string_view signatures, std::string_view bytes = document) {
    const auto ids = verify(keys, bytes, signatures, "x.json");
    EXPECT_TRUE(ids || ids.error().kind == ErrorKind::BadInput);
    return ids ? fmt::format("{}", fmt::join(*ids, " ")) : ids.error().message;
}

std::string error_of(std::string_view json) {
    const auto keys = parse_key_set(json, "k.json");
    return keys ? "accepted" : keys.error().message;
}

class KeySets : public testing::Test {
protected:
    const Signer a{1}, b{2}, c{3}, stranger{4};
    const std::string id_a = a.public_key.id_text(), id_b = b.public_key.id_text(), id_c = c.public_key.id_text(),
                      id_stranger = stranger.public_key.id_text();
    const KeySet two_of_three = set_of({a.public_key, b.public_key, c.public_key}, 2);
};

TEST_F(KeySets, TwoOfThreeAreEnoughInAnyOrder) {
    EXPECT_EQ(verified(two_of_three, a.sign(document) + c.sign(document)), id_a + " " + id_c);
    EXPECT_EQ(verified(two_of_three, c.sign(document) + b.sign(document)), id_b + " " + id_c);
    EXPECT_EQ(verified(two_of_three, c.sign(document) + b.sign(document) + a.sign(document)),
              id_a + " " + id_b + " " + id_c);
}

TEST_F(KeySets, KeyThatSignsTwiceCountsOnce) {
    EXPECT_EQ(verified(two_of_three, a.sign(document) + a.sign(document)), "x.json: signed by 1 of 2 needed keys");
    EXPECT_EQ(verified(two_of_three, a.sign(document, "one") + a.sign(document, "two") + a.sign(document, "three")),
              "x.json: signed by 1 of 2 needed keys");
    EXPECT_EQ(verified(two_of_three, a.sign(document) + a.sign(document) + b.sign(document)), id_a + " " + id_b);
}

TEST_F(KeySets, OneOfTwoIsTooFew) {
    EXPECT_EQ(verified(two_of_three, b.sign(document)), "x.json: signed by 1 of 2 needed keys");
}

TEST_F(KeySets, UnknownKeysAreIgnoredIfTheOthersAreEnough) {
    EXPECT_EQ(verified(two_of_three, stranger.sign(document) + a.sign(document) + b.sign(document)), id_a + " " + id_b);
    EXPECT_EQ(verified(two_of_three, stranger.sign(document) + a.sign(document)),
              "x.json: signed by 1 of 2 needed keys; not trusted here: key " + id_stranger);
}

TEST_F(KeySets, WrongSignatureIsNamed) {
    EXPECT_EQ(verified(two_of_three, a.sign("another") + b.sign(document)),
              "x.json: signed by 1 of 2 needed keys; invalid signature, or the document was changed: key " + id_a);
    // The right one of the same key beside it: nothing is wrong but the number.
    EXPECT_EQ(verified(two_of_three, a.sign("another") + a.sign(document)), "x.json: signed by 1 of 2 needed keys");
    EXPECT_EQ(verified(two_of_three, a.sign("another") + a.sign(document) + b.sign(document)), id_a + " " + id_b);
}

TEST_F(KeySets, ManyUnknownKeysDoNotMakeALongMessage) {
    std::string signatures;
    for (unsigned char number = 10; number < 210; ++number)
        signatures += Signer(number).sign(document);
    ASSERT_LT(signatures.size(), signatures_max_bytes);
    const std::string message = verified(two_of_three, signatures);
    EXPECT_NE(message.find("and 197 more"), std::string::npos) << message;
    EXPECT_LT(message.size(), 200U);
}

TEST_F(KeySets, NoSignatureAtAllIsSaid) {
    EXPECT_EQ(verified(two_of_three, ""), "x.json: not signed; expected the signatures of 2 of 3 keys");
}

TEST_F(KeySets, BrokenSignatureFileIsRefusedThoughAGoodOneStandsBeforeIt) {
    EXPECT_EQ(verified(set_of({a.public_key}, 1), a.sign(document) + "junk"),
              "x.json: signatures: line 5: expected \"untrusted comment: \", the comment of a signature");
}

TEST_F(KeySets, NoKeysMeansNothingIsSignedWhateverTheThreshold) {
    for (const unsigned threshold : {0U, 1U}) {
        EXPECT_EQ(verified(set_of({}, threshold), a.sign(document)),
                  "x.json: no key is trusted here, so nothing counts as signed");
        EXPECT_EQ(verified(set_of({}, threshold), ""), "x.json: no key is trusted here, so nothing counts as signed");
    }
    EXPECT_EQ(verified(set_of({a.public_key}, 0), b.sign(document)),
              "x.json: signed by 0 of 1 needed keys; not trusted here: key " + id_b);
}

TEST_F(KeySets, KeysOfOneIdInAnAdminsFolderCountAsOne) {
    Signer twin(2);
    twin.public_key.id = a.public_key.id;
    EXPECT_EQ(verified(set_of({a.public_key, twin.public_key}, 1), a.sign(document)), id_a);
    EXPECT_EQ(verified(set_of({a.public_key, twin.public_key}, 1), twin.sign(document)), id_a);
    EXPECT_EQ(verified(set_of({a.public_key, twin.public_key}, 2), a.sign(document) + twin.sign(document)),
              "x.json: signed by 1 of 2 needed keys");
}

TEST_F(KeySets, DocumentIsReadAndWrittenAsAFixedPoint) {
    const KeySet keys = set_of({c.public_key, a.public_key}, 2, 9);
    const auto again = parse_key_set(to_json(keys), "k.json");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->keys, keys.keys);
    EXPECT_EQ(again->threshold, 2U);
    EXPECT_EQ(again->serial, 9U);
    EXPECT_EQ(to_json(*again), to_json(keys));
}

TEST_F(KeySets, KeySetIsToldByItsFormatOnly) {
    const auto is_one = [](std::string_view json) { return is_key_set(read_json(json).value()); };
    EXPECT_TRUE(is_one(to_json(set_of({a.public_key}, 1, 9))));
    EXPECT_TRUE(is_one(R"({"format": "kudo-key-set/2"})"));
    EXPECT_FALSE(is_one(R"({"format": "kudo-range-map/1", "keys": []})"));
    EXPECT_FALSE(is_one(R"({"format": 1})"));
    EXPECT_FALSE(is_one(R"(["kudo-key-set/1"])"));
    EXPECT_FALSE(is_one(R"("kudo-key-set/1")"));
}

TEST_F(KeySets, BrokenDocumentIsRefusedWithThePlaceAndTheReason) {
    const std::string key_a = a.public_key.text(), key_b = b.public_key.text();
    PublicKey other_key = b.public_key;
    other_key.id = a.public_key.id;
    const auto json = [](std::string_view serial, std::string_view threshold, std::string_view keys) {
        return fmt::format(R"({{"format": "kudo-key-set/1", "serial": {}, "threshold": {}, "keys": {}}})", serial,
                           threshold, keys);
    };
    const auto list = [](const std::vector<std::string>& keys) {
        return keys.empty() ? std::string("[]") : fmt::format("[\"{}\"]", fmt::join(keys, "\", \""));
    };
    const std::string good = list({key_a, key_b});
    ASSERT_EQ(error_of(json("1", "2", good)), "accepted");
    const struct {
        std::string json, error;
    } table[] = {
        {"", "k.json: line 1, column 1"},
        {"[]", "k.json: must be an object, is an array"},
        {R"({"format": "kudo-key-set/2"})", "k.json: format: \"kudo-key-set/2\" is not supported; expected"},
        {R"({"format": "kudo-range-map/1"})", "k.json: format: \"kudo-range-map/1\" is not supported; expected"},
        {R"({"format": "kudo-key-set/1"})", "k.json: serial: missing"},
        {json("1", "1", good + R"(, "colour": 1)"), "k.json: colour: unknown field"},
        {json("0", "1", good), "k.json: serial: must be a whole number from 1"},
        {json("-1", "1", good), "k.json: serial: must be a whole number from 1"},
        {json("1", "0", good), "k.json: threshold: must be a whole number from 1 to 2, the number of keys"},
        {json("1", "3", good), "k.json: threshold: must be a whole number from 1 to 2"},
        {json("1", "4294967297", good), "k.json: threshold: must be a whole number from 1 to 2"},
        {json("1", "-1", good), "k.json: threshold: must be a whole number from 1 to 2"},
        {json("1", "1.0", good), "k.json: threshold: must be a whole number from 1 to 2"},
        {json("1", "\"1\"", good), "k.json: threshold: must be a whole number from 1 to 2"},
        {json("1", "1", "[]"), "k.json: keys: empty; a key set has at least one key"},
        {json("1", "1", "{}"), "k.json: keys: must be an array of strings, is an object"},
        {json("1", "1", "[1]"), "k.json: keys[0]: must be a string, is a number"},
        {json("1", "1", list({key_a, key_a})), "k.json: keys[1]: \"" + key_a + "\" is a duplicate; it is at keys[0]"},
        {json("1", "1", list({key_a, other_key.text()})), "k.json: keys[1]: a second key with the id " + id_a},
        {json("1", "1", list({key_a + "\\n"})), "k.json: keys[0]: write the key's line alone: " + key_a},
        {json("1", "1", list({"untrusted comment: x\\n" + key_a})), "k.json: keys[0]: write the key's line alone"},
        {json("1", "1", list({key_a.substr(1)})), "k.json: keys[0]: line 1: not the 56 characters of base64"},
        {json("1", "1", list({""})), "k.json: keys[0]: not a minisign public key"},
    };
    for (const auto& [text, error] : table)
        EXPECT_NE(error_of(text).find(error), std::string::npos) << text << "\ngot " << error_of(text);
}

class Rotation : public KeySets {
protected:
    const KeySet old_keys = set_of({a.public_key}, 1, 5);
    const std::string next = to_json(set_of({b.public_key, c.public_key}, 2, 6));

    // "serial N", or the error.
    static std::string rotated(const KeySet& current, std::string_view bytes, std::string_view signatures) {
        const auto keys = parse_key_set(bytes, "k.json");
        if (!keys) return keys.error().message;
        const auto checked = check_rotation(current, *keys, bytes, signatures, "k.json");
        return checked ? fmt::format("serial {}", keys->serial) : checked.error().message;
    }
};

TEST_F(Rotation, NeedsTheOldAndTheNewKeys) {
    const std::string by_a = a.sign(next), by_b = b.sign(next), by_c = c.sign(next);
    EXPECT_EQ(rotated(old_keys, next, by_a + by_b + by_c), "serial 6");
    EXPECT_EQ(rotated(old_keys, next, by_b + by_c),
              "k.json: signed by 0 of 1 needed keys; not trusted here: key " + id_b + ", " + id_c);
    EXPECT_EQ(rotated(old_keys, next, by_a), "k.json, by its own keys: signed by 0 of 2 needed keys; not trusted here: "
                                             "key " +
                                                 id_a);
    EXPECT_EQ(rotated(old_keys, next, by_a + by_b),
              "k.json, by its own keys: signed by 1 of 2 needed keys; not trusted here: key " + id_a);
    EXPECT_EQ(rotated(old_keys, next, ""), "k.json: not signed; expected the signatures of 1 of 1 keys");
}

TEST_F(Rotation, KeyInBothSetsSignsOnceForBoth) {
    const std::string both = to_json(set_of({a.public_key, b.public_key}, 1, 6));
    EXPECT_EQ(rotated(old_keys, both, a.sign(both)), "serial 6");
}

TEST_F(Rotation, NeedsAHigherSerial) {
    for (const uint64_t serial : {1U, 4U, 5U}) {
        const std::string older = to_json(set_of({b.public_key}, 1, serial));
        EXPECT_EQ(rotated(old_keys, older, a.sign(older) + b.sign(older)),
                  fmt::format("k.json: serial: {} is not higher than that of the current key set, 5", serial));
    }
}

TEST_F(Rotation, AdminsFolderIsFollowedByAnySerial) {
    const std::string first = to_json(set_of({b.public_key}, 1, 1));
    EXPECT_EQ(rotated(set_of({a.public_key}, 1, 0), first, a.sign(first) + b.sign(first)), "serial 1");
}

TEST_F(Rotation, NothingFollowsNoKeys) {
    const std::string first = to_json(set_of({b.public_key}, 1, 1));
    EXPECT_EQ(rotated(set_of({}, 1), first, b.sign(first)),
              "k.json: no key is trusted here, so nothing counts as signed");
}

TEST_F(Rotation, SignedDocumentThatIsNoKeySetIsRefused) {
    EXPECT_EQ(rotated(old_keys, "{}", a.sign("{}")), "k.json: format: missing; every such object has it");
}

} // namespace
} // namespace kudo
