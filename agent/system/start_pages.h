// SPDX-License-Identifier: MIT
// Pages of this program and its libraries that only starting needed: most libraries are only bound then.
#pragma once

namespace kudo {

// Lets go of them; what is needed again comes back from the page cache. Relocated and written pages stay, but for
// changes to code that others made in this process: uprobes that are there already do not fire any more. Other threads
// may run meanwhile.
void release_start_pages();

} // namespace kudo
