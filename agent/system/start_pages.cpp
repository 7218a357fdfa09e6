// SPDX-License-Identifier: MIT
#include "agent/system/start_pages.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace kudo {
namespace {

// Relocations in what is not writable (elf(5), DT_TEXTREL): those pages are no more what the file has.
bool has_text_relocations(const dl_phdr_info& object, const ElfW(Phdr) & dynamic) {
    const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(object.dlpi_addr + dynamic.p_vaddr);
    for (; entry->d_tag != DT_NULL; ++entry)
        if (entry->d_tag == DT_TEXTREL || (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0))
            return true;
    return false;
}

int release_pages(dl_phdr_info* object, std::size_t /* size */, void* /* nothing */) {
    const std::span segments(object->dlpi_phdr, object->dlpi_phnum);
    for (const auto& segment : segments)
        if (segment.p_type == PT_DYNAMIC && has_text_relocations(*object, segment)) return 0;
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    for (const auto& segment : segments) {
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
        const uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) / page * page;
        const uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
        // What cannot be let go stays.
        static_cast<void>(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED));
    }
    return 0;
}

} // namespace

void release_start_pages() {
    dl_iterate_phdr(release_pages, nullptr);
}

} // namespace kudo
