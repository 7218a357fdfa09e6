// SPDX-License-Identifier: MIT
// One line over time, as SVG with its words around it in HTML, so that they stay readable on a narrow screen.
// Invariant: pure; a gap in what is known is a gap in the line; what is drawn is said in words too.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace kudo {

struct ChartPoint {
    double begin = 0, end = 0; // seconds since 1970
    std::optional<double> value{};
};
struct ChartLine {
    std::string name; // "in"; empty where there is only one
    std::vector<ChartPoint> points;
};
struct Chart {
    std::string id;     // of the page, unique
    std::string title;  // "Loss"
    std::string text;   // what it shows, a sentence
    std::string top;    // what the upper edge stands for: "10 %"
    double highest = 1; // its value
    double begin = 0, end = 0;
    bool bars = false;            // each point by itself, from zero up; else a line
    std::vector<ChartLine> lines; // at most two: the second one is dashed
};
std::string chart_html(const Chart& chart);

// The next of 1, 2, 5, 10, 20, 50, … that is not below `value`.
double round_up(double value);

} // namespace kudo
