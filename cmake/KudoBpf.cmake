# Compiles BPF C with clang and makes bpftool's skeleton of it.
find_program(KUDO_CLANG clang REQUIRED)
find_program(KUDO_BPFTOOL bpftool PATHS /usr/sbin /sbin REQUIRED)
find_program(KUDO_LLVM_STRIP NAMES llvm-strip llvm-strip-14 PATHS /usr/lib/llvm-14/bin)

# kudo_bpf_object(<object> <source.bpf.c> <clang>): how that compiler makes the object.
function(kudo_bpf_object object source clang)
  get_filename_component(source ${source} ABSOLUTE)
  get_filename_component(name ${object} NAME)
  execute_process(COMMAND ${KUDO_CLANG} -print-multiarch OUTPUT_VARIABLE multiarch OUTPUT_STRIP_TRAILING_WHITESPACE
                  ERROR_QUIET)
  if(NOT multiarch)
    set(multiarch ${CMAKE_LIBRARY_ARCHITECTURE})
  endif()
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${clang} -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror
            -I${PROJECT_SOURCE_DIR} -idirafter /usr/include/${multiarch} -fdebug-prefix-map=${PROJECT_SOURCE_DIR}=.
            -MD -MF ${object}.d -MT ${object} -c ${source} -o ${object}
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "Compiling ${name}"
    VERBATIM)
endfunction()

# kudo_bpf_skeleton(<target> <source.bpf.c> <skeleton name>): an INTERFACE target whose users can include <name>.skel.h.
function(kudo_bpf_skeleton target source name)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/${name}.skel.h)
  kudo_bpf_object(${object} ${source} ${KUDO_CLANG})
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND sh -c "\"$0\" gen skeleton \"$1\" name \"$2\" > \"$3\"" ${KUDO_BPFTOOL} ${object} ${name} ${skeleton}
    DEPENDS ${object}
    COMMENT "Generating ${name}.skel.h"
    VERBATIM)
  add_custom_target(${target}_files DEPENDS ${skeleton})
  add_library(${target} INTERFACE)
  add_dependencies(${target} ${target}_files)
  target_include_directories(${target} SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
