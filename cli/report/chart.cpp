// SPDX-License-Identifier: MIT
#include "cli/report/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <fmt/format.h>

#include "cli/report/html.h"
#include "maps/base/time.h"

namespace kudo {
namespace {

constexpr double view_width = 1000, view_height = 100;

std::string clock_text(double seconds) {
    const std::string text = rfc3339(Time(std::chrono::seconds(static_cast<int64_t>(seconds))));
    return text.substr(11, 8);
}

double x_of(const Chart& chart, double time) {
    const double span = chart.end - chart.begin;
    return span > 0 ? std::clamp((time - chart.begin) / span, 0.0, 1.0) * view_width : 0;
}
double y_of(const Chart& chart, double value) {
    return view_height - std::clamp(chart.highest > 0 ? value / chart.highest : 0, 0.0, 1.0) * view_height;
}

// A loss of one packet in a thousand is to be seen as well.
std::string bars_of(const Chart& chart, const ChartLine& line) {
    constexpr double least_height = 3, least_width = 3;
    std::string svg;
    for (const ChartPoint& point : line.points) {
        if (point.value.value_or(0) <= 0) continue;
        const double x = x_of(chart, point.begin), y = std::min(y_of(chart, *point.value), view_height - least_height);
        svg += fmt::format(R"(<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)", x, y,
                           std::max(x_of(chart, point.end) - x, least_width), view_height - y);
    }
    return svg;
}

std::string path_of(const Chart& chart, const ChartLine& line, std::size_t number) {
    std::string path;
    bool joined = false;
    for (const ChartPoint& point : line.points) {
        if (!point.value) {
            joined = false;
            continue;
        }
        const double y = y_of(chart, *point.value);
        path += fmt::format("{}{:.1f} {:.1f}H{:.1f}", joined ? "L" : "M", x_of(chart, point.begin), y,
                            x_of(chart, point.end));
        joined = true;
    }
    if (path.empty()) return "";
    return fmt::format(R"(<path class="line line{}" d="{}" vector-effect="non-scaling-stroke"/>)", number + 1, path);
}

} // namespace

double round_up(double value) {
    if (!(value > 0)) return 1;
    const double decade = std::pow(10, std::floor(std::log10(value)));
    for (const double step : {1.0, 2.0, 5.0})
        if (value <= step * decade * 1.0001) return step * decade;
    return 10 * decade;
}

std::string chart_html(const Chart& chart) {
    std::string drawing, legend;
    for (std::size_t i = 0; i < chart.lines.size(); ++i) {
        drawing += chart.bars ? bars_of(chart, chart.lines[i]) : path_of(chart, chart.lines[i], i);
        if (!chart.lines[i].name.empty())
            legend += fmt::format(R"( <span class="key key{}">{}</span>)", i + 1, html(chart.lines[i].name));
    }
    return fmt::format(
        R"(<figure class="chart"><figcaption><b>{0}</b>{1}<br><span class="said">{2}</span></figcaption>)"
        R"(<div class="plot"><span class="top">{3}</span><span class="bottom">0</span>)"
        R"(<svg viewBox="0 0 {4} {5}" preserveAspectRatio="none" role="img" aria-labelledby="{6}-t {6}-d">)"
        R"(<title id="{6}-t">{0}</title><desc id="{6}-d">{2}</desc>)"
        R"(<path class="grid" d="M0 0H{4}M0 {7}H{4}M0 {5}H{4}" vector-effect="non-scaling-stroke"/>{8}</svg></div>)"
        R"(<div class="axis"><span>{9}</span><span>{10}</span><span>{11} UTC</span></div></figure>)"
        "\n",
        html(chart.title), legend, html(chart.text), html(chart.top), view_width, view_height, html(chart.id),
        view_height / 2, drawing, clock_text(chart.begin), clock_text((chart.begin + chart.end) / 2),
        clock_text(chart.end));
}

} // namespace kudo
