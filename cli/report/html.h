// SPDX-License-Identifier: MIT
// Text for a page: escaped, and put into a template.
// Invariant: what is escaped can be neither markup nor the end of an attribute, a script or a comment, and reorders no
// text around it; control characters are shown.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace kudo {

// For element content and quoted attributes.
std::string html(std::string_view text);
// JSON, for the content of a <script type="application/json">: no "<", ">" or "&" in it. It is still the same JSON.
std::string json_for_page(std::string_view json);
// "{{name}}" becomes the value; what a value holds is not looked at again. A name without a value becomes nothing.
std::string filled_in(std::string_view page, const std::map<std::string, std::string>& values);

} // namespace kudo
