// SPDX-License-Identifier: MIT
// What top and the service say to each other: whatever comes is read as it was written, or refused.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <variant>

#include "cli/top/remote_messages.h"

namespace kudo {
namespace {

TEST(TopRemote, APictureIsReadAsItWasWritten) {
    const Picture picture{{80, 3},
                          {Line{{{"kudo-agent top", Style::Bold}, {"  1 flow", Style::Plain}}, false}, Line{},
                           Line{{{"▄█▇ 12 kbit/s", Style::Red}, {"", Style::Dim}}, true}}};
    const std::string text = write_picture(picture);
    EXPECT_EQ(text.find(picture_end), text.size() - 1);
    const auto read = read_picture(text);
    ASSERT_TRUE(read.has_value()) << read.error().message;
    EXPECT_EQ(read->size, picture.size);
    ASSERT_EQ(read->lines.size(), picture.lines.size());
    for (std::size_t i = 0; i < picture.lines.size(); ++i) {
        EXPECT_EQ(read->lines[i].selected, picture.lines[i].selected);
        ASSERT_EQ(read->lines[i].spans.size(), picture.lines[i].spans.size()) << i;
        for (std::size_t at = 0; at < picture.lines[i].spans.size(); ++at) {
            EXPECT_EQ(read->lines[i].spans[at].text, picture.lines[i].spans[at].text);
            EXPECT_EQ(read->lines[i].spans[at].style, picture.lines[i].spans[at].style);
        }
    }
}

TEST(TopRemote, WhatIsNoPictureIsRefused) {
    for (const std::string text :
         {"", "\x03", "80 24", "80 24 \x03", "0 24\x03", "80 501\x03", "1001 24\x03", "80 1\n\n\x03",
          "80 24\n\x01z\x03", "80 24\n\x01p\x1b[2J\x03", "80 24\n\x01p\x7f\x03", "80 24\n\x01\x02\x03"})
        EXPECT_FALSE(read_picture(text).has_value()) << testing::PrintToString(text);
    EXPECT_TRUE(read_picture("80 24\n\x01px\x03").has_value()) << "the checks above cannot fail";
}

TEST(TopRemote, AKeyASizeAndAWordAreReadAsTheyWereWritten) {
    const TypedKey keys[] = {
        {.character = 'q'}, {.action = Action::SortByRate}, {.action = Action::Quit}, {.backspace = true}, {}};
    for (const TypedKey& key : keys) {
        const auto read = read_input(write_input(key));
        ASSERT_TRUE(read.has_value() && std::holds_alternative<TypedKey>(*read));
        EXPECT_EQ(std::get<TypedKey>(*read).character, key.character);
        EXPECT_EQ(std::get<TypedKey>(*read).action, key.action);
        EXPECT_EQ(std::get<TypedKey>(*read).backspace, key.backspace);
        EXPECT_LE(write_input(key).size(), max_input);
    }
    EXPECT_EQ(std::get<ScreenSize>(read_input(write_input(largest_screen)).value()), largest_screen);
    EXPECT_TRUE(std::holds_alternative<Drawn>(read_input(write_input(Drawn{})).value()));
}

TEST(TopRemote, WhatIsNoInputIsBadInput) {
    for (const std::string text :
         {"", "drawn ", "size", "size 0 1", "size 1 0", "size 80 501", "size 80", "size 80 24 1", "size -1 24",
          "size 99999999999999999999 1", "key 31 0 0", "key 127 0 0", "key 256 0 0", "key 0 21 0", "key 0 0 2",
          "key 0 0", "key  0 0 0", "Key 0 0 0"}) {
        const auto read = read_input(text);
        ASSERT_FALSE(read.has_value()) << text;
        EXPECT_EQ(read.error().kind, ErrorKind::BadInput) << text;
    }
}

TEST(TopRemote, NothingThatComesEndsTheProgram) {
    std::mt19937 random(7);
    for (int i = 0; i < 20000; ++i) {
        std::string text = i % 2 == 0 ? "80 24\n" : "size ";
        for (auto left = random() % 40; left > 0; --left)
            text += static_cast<char>(random() % (i % 3 == 0 ? 256 : 16));
        [[maybe_unused]] const auto picture = read_picture(text + picture_end);
        [[maybe_unused]] const auto input = read_input(text);
    }
}

} // namespace
} // namespace kudo
