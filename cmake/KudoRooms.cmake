# The rooms of the house: a folder, a library, and the rooms below it that it may include.
#
# kudo_room(<folder> [DEPENDS <folder>...] [LIBRARIES <target>...] [PRIVATE <target>...] [EXCLUDE <regex>])
#   Makes the library kudo_<folder with _> of the folder's files. A room sees its own headers and those of the rooms that
#   it depends on, directly or not, and no others: each room's headers are reached through a folder of links of its own.
#   A room must be declared before whatever depends on it, so nothing can point upwards or in a circle.
#   EXCLUDE: files that this build goes without.
#   LIBRARIES are needed by whoever includes its headers, PRIVATE ones only by its own files.
#   The declarations are written to build/.../rooms.txt, for tests/structure.
set_property(GLOBAL PROPERTY kudo_rooms "")

function(kudo_room folder)
  cmake_parse_arguments(room "" "EXCLUDE" "DEPENDS;LIBRARIES;PRIVATE;SOURCES" ${ARGN})
  string(REPLACE "/" "_" name "kudo_${folder}")
  set(from ${PROJECT_SOURCE_DIR}/${folder})
  set(links ${PROJECT_BINARY_DIR}/rooms/${name})
  file(GLOB headers CONFIGURE_DEPENDS ${from}/*.h)
  file(GLOB sources CONFIGURE_DEPENDS ${from}/*.cpp)
  if(room_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX ${room_EXCLUDE})
  endif()
  file(REMOVE_RECURSE ${links})
  file(MAKE_DIRECTORY ${links}/${folder})
  foreach(header ${headers})
    get_filename_component(file ${header} NAME)
    file(CREATE_LINK ${header} ${links}/${folder}/${file} SYMBOLIC)
  endforeach()

  foreach(below ${room_DEPENDS})
    string(REPLACE "/" "_" target "kudo_${below}")
    if(NOT TARGET ${target})
      message(FATAL_ERROR "${folder}: depends on ${below}, which is not below it: no such room has been declared yet")
    endif()
    list(APPEND targets ${target})
  endforeach()

  if(sources OR room_SOURCES)
    add_library(${name} STATIC ${sources} ${room_SOURCES})
    set(scope PUBLIC)
    target_link_libraries(${name} PRIVATE kudo_build_options ${room_PRIVATE})
    set_target_properties(${name} PROPERTIES UNITY_BUILD ${KUDO_UNITY} UNITY_BUILD_BATCH_SIZE 0)
    target_precompile_headers(${name} REUSE_FROM kudo_headers)
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${links})
  target_link_libraries(${name} ${scope} ${targets} ${room_LIBRARIES})
  string(REPLACE ";" " " below "${room_DEPENDS}")
  set_property(GLOBAL APPEND_STRING PROPERTY kudo_rooms "${folder}: ${below}\n")
endfunction()

# kudo_floor(<name> <folder>...): one target for whoever stands above a whole floor.
function(kudo_floor name)
  add_library(${name} INTERFACE)
  foreach(folder ${ARGN})
    string(REPLACE "/" "_" target "kudo_${folder}")
    target_link_libraries(${name} INTERFACE ${target})
  endforeach()
endfunction()

# Called once all rooms are declared.
function(kudo_write_rooms)
  get_property(rooms GLOBAL PROPERTY kudo_rooms)
  file(WRITE ${PROJECT_BINARY_DIR}/rooms.txt "${rooms}")
endfunction()
