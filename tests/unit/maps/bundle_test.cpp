// SPDX-License-Identifier: MIT
// A document and its signatures as one value.
#include <gtest/gtest.h>

#include "maps/trust/bundle.h"

namespace kudo {
namespace {

const std::string signature = "untrusted comment: x\nRUQ=\ntrusted comment: y\nAAA=\n";

TEST(Bundle, ComesApartAsItWasJoined) {
    using namespace std::string_literals;
    for (const std::string& document : {""s, "{}"s, "\n"s, "\n\n"s, "a\n\nb\0c\r\n"s, "\xff\xfe"s, signature}) {
        for (const std::string& signatures : {""s, signature, signature + signature}) {
            const Bundle bundle{signatures, document};
            EXPECT_EQ(split_bundle(join(bundle).value()).value(), bundle);
        }
    }
}

TEST(Bundle, IsSignaturesThenAnEmptyLineThenTheRawDocument) {
    EXPECT_EQ(join({signature, "{}\n"}).value(), signature + "\n{}\n");
    EXPECT_EQ(join({"", "{}"}).value(), "\n{}");
}

TEST(Bundle, GetsTheNewlineThatItsSignaturesLack) {
    EXPECT_EQ(join({"a", "{}"}).value(), "a\n\n{}");
}

TEST(Bundle, LosesEmptyLinesOfItsSignaturesWhichWouldEndThemEarly) {
    EXPECT_EQ(join({signature + "\n\r\n" + signature, "{}"}).value(), signature + signature + "\n{}");
    EXPECT_EQ(join({"\n" + signature + "\n", "\n{}\n"}).value(), signature + "\n\n{}\n");
}

TEST(Bundle, WithoutAnEmptyLineIsRefused) {
    EXPECT_FALSE(split_bundle(""));
    EXPECT_FALSE(split_bundle("{}"));
    EXPECT_FALSE(split_bundle(signature));
    EXPECT_EQ(split_bundle("a\n").error().kind, ErrorKind::BadInput);
}

TEST(Bundle, HoldsAsMuchAsTheLimitsAllowAndNotAByteMore) {
    const std::string signatures = std::string(signatures_max_bytes - 1, 'x') + "\n";
    const std::string document(range_map_max_bytes, 'y');
    const auto most = join({signatures, document});
    ASSERT_TRUE(most);
    EXPECT_EQ(most->size(), bundle_max_bytes);
    EXPECT_TRUE(split_bundle(*most));
    EXPECT_FALSE(join({"x" + signatures, document}));
    EXPECT_FALSE(join({signatures, document + "y"}));
    EXPECT_FALSE(split_bundle("x" + signatures + "\n{}")) << "signatures too long, the whole not";
    EXPECT_FALSE(split_bundle("\n" + document + "y")) << "document too long, the whole not";
    EXPECT_FALSE(split_bundle(*most + "y"));
}

} // namespace
} // namespace kudo
