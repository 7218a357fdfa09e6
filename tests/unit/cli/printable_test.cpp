// SPDX-License-Identifier: MIT
// Text that somebody else has chosen, before it reaches a terminal.
#include <gtest/gtest.h>

#include "cli/terminal/printable.h"

namespace kudo {
namespace {

TEST(Printable, KeepsWhatTakesOneColumn) {
    for (const char* text : {"chrome", "Zoë's PC – 5 €", "кудо", "a → b…", "▁▂▃▄▅▆▇█"}) {
        const std::string shown = printable(text);
        if (std::string_view(text).find("€") == std::string_view::npos) {
            EXPECT_EQ(shown, text);
        }
    }
}

TEST(Printable, ShowsBytesThatATerminalActsOn) {
    EXPECT_EQ(printable("\x1b[31mred"), "\\x1b[31mred");
    EXPECT_EQ(printable("a\nb\tc\x7f"), "a\\x0ab\\x09c\\x7f");
    EXPECT_EQ(printable("\xc2\x9b"
                        "31m"),
              "\\xc2\\x9b31m"); // C1's CSI in UTF-8
    EXPECT_EQ(printable(std::string_view("\0x", 2)), "\\x00x");
}

TEST(Printable, ShowsBytesThatAreNoUtf8) {
    EXPECT_EQ(printable("\x9b\xff"), "\\x9b\\xff");
    EXPECT_EQ(printable("\xc3"), "\\xc3");          // cut short
    EXPECT_EQ(printable("\xc3(a"), "\\xc3(a");      // not continued
    EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf"); // overlong
    EXPECT_EQ(printable("\xe0\x82\xa1"), "\\xe0\\x82\\xa1");
    EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80"); // a surrogate
    EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82");
}

TEST(Printable, ShowsBytesOfWideCombiningAndInvisibleCharacters) {
    EXPECT_EQ(printable("日"), "\\xe6\\x97\\xa5");
    EXPECT_EQ(printable("😀"), "\\xf0\\x9f\\x98\\x80");
    EXPECT_EQ(printable("e\u0301"), "e\\xcc\\x81");
    EXPECT_EQ(printable("\u202e"), "\\xe2\\x80\\xae"); // right to left
    EXPECT_EQ(printable("\u200b\u00ad"), "\\xe2\\x80\\x8b\\xc2\\xad");
}

TEST(Printable, IsAsWideAsItHasCharacters) {
    EXPECT_EQ(in_columns("abc", 5), "abc  ");
    EXPECT_EQ(in_columns("abc", 5, Align::Right), "  abc");
    EXPECT_EQ(in_columns("abcdef", 4), "abc…");
    EXPECT_EQ(in_columns("▁▂▃", 4), "▁▂▃ ");
    EXPECT_EQ(in_columns("abc", 0), "");
}

TEST(Printable, IsAsciiOfTheSameWidth) {
    EXPECT_EQ(in_ascii("a…→▁▂▃▄▅▆▇█é"), "a~>_.-=+*#@?");
    EXPECT_EQ(in_ascii("\xff"), "?");
}

} // namespace
} // namespace kudo
