// SPDX-License-Identifier: MIT
#include "cli/top/view.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

#include "cli/top/order.h"

namespace kudo {
namespace {

std::string time_of_day() {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    std::array<char, 16> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%H:%M:%S", &local)};
}

} // namespace

int LocalView::tick() {
    if (!reader_.is_reading() && !state_.frozen && Reader::Clock::now() >= reader_.next()) reader_.start();
    if (reader_.is_reading() || state_.frozen) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(reader_.next() - Reader::Clock::now());
    return static_cast<int>(std::max<std::chrono::milliseconds::rep>(left.count(), 0));
}

Result<bool> LocalView::take() {
    const auto begun = reader_.begun();
    reading_.take(reader_.take(), begun);
    // What cannot be read now is older.
    if (reading_.problem().empty() || reading_.not_enabled()) pace_.read_at = time_of_day();
    pace_.interval = reader_.interval();
    pace_.slowed = pace_.interval > std::chrono::seconds(1);
    return true;
}

Result<bool> LocalView::press(const TypedKey& key) {
    const bool was_frozen = state_.frozen;
    const bool goes_on = kudo::press(state_, key, {.flows = keys_, .rows = rows_});
    if (was_frozen && !state_.frozen && !reader_.is_reading()) reader_.start();
    choose();
    return goes_on;
}

void LocalView::choose() {
    flows_ = chosen_flows(reading_, state_);
    keys_.clear();
    for (const std::size_t flow : flows_)
        keys_.push_back(key_of(reading_.diagnosis()->statistics.flows[flow]));
}

Result<Lines> LocalView::lines(ScreenSize size) {
    choose();
    return layout(reading_, flows_, pace_, size, state_, rows_);
}

} // namespace kudo
