// SPDX-License-Identifier: MIT
#include "cli/report/page_charts.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/diagnosis/findings.h"
#include "cli/report/chart.h"
#include "cli/report/fields.h"
#include "cli/report/html.h"
#include "cli/terminal/units.h"
#include "maps/base/time.h"

namespace kudo {
namespace {

// Of one value of a list of points.
std::vector<ChartPoint> points_of(const OrderedJson& list, const char* value) {
    std::vector<ChartPoint> points;
    for (const OrderedJson& point : list) {
        std::string text = text_field(point, "begin");
        double fraction = 0;
        constexpr std::size_t whole = std::string_view("2022-03-01T12:00:00").size();
        if (text.size() == whole + 5 && text[whole] == '.') { // ".250Z"
            fraction = (text[whole + 1] - '0') / 10.0 + (text[whole + 2] - '0') / 100.0;
            text = text.substr(0, whole) + "Z";
        }
        const auto time = parse_rfc3339(text);
        if (!time) continue;
        const double begin = static_cast<double>(time->time_since_epoch().count()) + fraction;
        points.push_back({.begin = begin, .end = begin + std::max(0.0, number_field(point, "milliseconds")) / 1000});
        if (has_number(point, value)) points.back().value = number_field(point, value);
    }
    return points;
}

const ChartPoint* highest_of(const std::vector<ChartPoint>& points) {
    const auto top = std::ranges::max_element(
        points, std::less{}, [](const ChartPoint& point) { return point.value ? *point.value : -1.0; });
    return top == points.end() || !top->value ? nullptr : &*top;
}

std::string time_of(double seconds) {
    const auto whole = std::chrono::seconds(static_cast<int64_t>(seconds));
    return rfc3339(Time(whole)).substr(11, 8) + " UTC";
}

std::string milliseconds_of(double time) {
    return time < 10 ? fmt::format("{:.1f} ms", time) : fmt::format("{:.0f} ms", time);
}

struct Span {
    double begin = 0, end = 0;
    void include(const std::vector<ChartPoint>& points) {
        for (const ChartPoint& point : points) {
            if (!point.value) continue;
            begin = end == 0 ? point.begin : std::min(begin, point.begin);
            end = std::max(end, point.end);
        }
    }
};

class Group {
public:
    Group(std::string name, std::string note, std::vector<ChartPoint> loss, const OrderedJson& rest)
        : name_(std::move(name)), note_(std::move(note)), loss_(std::move(loss)), rtt_(points_of(rest, "rtt_ms")),
          in_(points_of(rest, "bits_in")), out_(points_of(rest, "bits_out")) {
        for (const auto* points : {&loss_, &rtt_, &in_, &out_})
            span_.include(*points);
    }
    [[nodiscard]] bool empty() const { return span_.end <= span_.begin; }

    [[nodiscard]] std::string html_of(const std::string& id) const {
        return fmt::format("<h3>{}</h3>\n<p class=\"note\">{}</p>\n{}{}{}", html(name_), html(note_), loss(id),
                           round_trips(id), rate(id));
    }

private:
    [[nodiscard]] Chart chart(const std::string& id, const char* title) const {
        return {.id = id, .title = title, .begin = span_.begin, .end = span_.end};
    }
    static std::string missing(const char* title, const char* why) {
        return fmt::format("<p class=\"note\"><b>{}</b>: {}</p>\n", title, why);
    }

    [[nodiscard]] std::string loss(const std::string& id) const {
        const ChartPoint* worst = highest_of(loss_);
        if (!worst) return missing("Loss", "not known: no media with sequence numbers (RTP) came in at this time.");
        Chart result = chart(id + "-loss", "Loss of incoming media");
        result.highest = std::min(1.0, round_up(100 * *worst->value) / 100);
        if (*worst->value <= 0) result.highest = 0.01;
        result.top = percent_text(result.highest);
        result.text = *worst->value <= 0 ? "Nothing was missing."
                                         : fmt::format("At worst {} was missing, at {}.", percent_text(*worst->value),
                                                       time_of(worst->begin));
        result.bars = true;
        result.lines = {{"", loss_}};
        return chart_html(result);
    }
    [[nodiscard]] std::string round_trips(const std::string& id) const {
        const ChartPoint* worst = highest_of(rtt_);
        if (!worst) return missing("Round trip", "not known: no STUN request was answered while it was read.");
        Chart result = chart(id + "-rtt", "Round trip");
        result.highest = round_up(*worst->value);
        result.top = milliseconds_of(result.highest);
        result.text = fmt::format("At most {}, at {}.", milliseconds_of(*worst->value), time_of(worst->begin));
        result.lines = {{"", rtt_}};
        return chart_html(result);
    }
    [[nodiscard]] std::string rate(const std::string& id) const {
        const ChartPoint *in = highest_of(in_), *out = highest_of(out_);
        if (!in || !out) return missing("Rate", "not recorded.");
        if (*in->value <= 0 && *out->value <= 0) return missing("Rate", "no packet went by while it was read.");
        Chart result = chart(id + "-rate", "Rate of KUDO's traffic");
        result.highest = round_up(std::max(*in->value, *out->value));
        result.top = bit_rate_text(result.highest);
        result.text = fmt::format("At most {} in, {} out.", bit_rate_text(*in->value), bit_rate_text(*out->value));
        result.lines = {{"in", in_}, {"out", out_}};
        return chart_html(result);
    }

    std::string name_, note_;
    std::vector<ChartPoint> loss_, rtt_, in_, out_;
    Span span_;
};

} // namespace

std::string timeline_html(const OrderedJson& timeline) {
    if (!timeline.is_object()) return "<p class=\"note\">Not recorded: no call could be looked at.</p>\n";
    const OrderedJson& kept = list_field(timeline, "kept");
    const Group recent("The last minute of media, and while this report was made",
                       "Loss by the second, on the way to this host: what it has dropped itself is below. Round trips "
                       "and rate were only "
                       "read while the report was made.",
                       points_of(list_field(timeline, "streams"), "loss"), list_field(timeline, "samples"));
    const Group before("As the service has kept it",
                       "Every 15 s for five minutes, every minute for an hour, then every ten minutes for a day. A "
                       "packet counts as lost here once 511 later ones have come.",
                       points_of(kept, "loss"), kept);
    std::string text;
    if (!recent.empty())
        text += recent.html_of("recent");
    else
        text += "<p class=\"note\">Nothing was recorded while this report was made, and there was no media.</p>\n";
    if (!before.empty())
        text += before.html_of("kept");
    else if (const std::string why = text_field(timeline, "not_kept_because"); !why.empty())
        text += fmt::format("<p class=\"note\">What was before is not known: {}.</p>\n", html(why));
    return text;
}

} // namespace kudo
