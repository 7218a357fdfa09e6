// SPDX-License-Identifier: MIT
// A report as one page of HTML, and the report back out of it.
// Invariant: pure. The page is made of the document alone, so that what was taken out of that is nowhere in it; it
// needs no script, no network and no other file.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "cli/terminal/json.h"
#include "maps/base/result.h"

namespace kudo {

inline constexpr std::size_t max_report_page = 16u << 20; // bytes; those that we make are far smaller

std::string report_page(const OrderedJson& document);

// BadInput: it is no such page; `shown` is what errors call it.
Result<OrderedJson> document_of_page(std::string_view page, const std::string& shown);

} // namespace kudo
