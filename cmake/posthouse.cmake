# SPDX-License-Identifier: Apache-2.0
# How a folder is built. By convention, not by lists:
#   FOLDER/include/FOLDER/*.h   public headers        FOLDER/*.c        the library
#   FOLDER/*_main.c             a program, installed as posthouse-<name>
#   FOLDER/*_test.c             a cmocka test each, label unit (tsan in that flavour)
#   FOLDER/*_crash.c            a program of tests/crash/run, with tests/disk
#   FOLDER/*_fuzz.c             a fuzz target each: LLVMFuzzerTestOneInput; see tests/fuzz/README.md
# Include paths come only from target links, so an include that points upward does not compile.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(POSTHOUSE_FLAVOUR "release" CACHE STRING "release, asan, tsan or coverage")

# What every translation unit is compiled with; kept in one interface target so that a folder cannot forget it.
add_library(posthouse_flags INTERFACE)
target_compile_definitions(posthouse_flags INTERFACE _GNU_SOURCE POSTHOUSE_VERSION="${PROJECT_VERSION}")
target_compile_options(posthouse_flags INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wcast-qual
  -Wpointer-arith -Wundef -Wformat=2 -Wvla -Wimplicit-fallthrough -Wno-missing-field-initializers
  -fno-common -fstack-protector-strong -fno-strict-aliasing)
# A program links what it uses: only ldapsync has libldap.
target_link_options(posthouse_flags INTERFACE -Wl,--as-needed)
if(POSTHOUSE_FLAVOUR STREQUAL "release")
  # Fibers have 64 KiB stacks: a frame over 4 KiB is an error, and a frame may not jump the guard page.
  target_compile_options(posthouse_flags INTERFACE -Wframe-larger-than=4096 -fstack-clash-protection -D_FORTIFY_SOURCE=2 -fPIE)
  target_link_options(posthouse_flags INTERFACE -pie -Wl,-z,relro,-z,now)
elseif(POSTHOUSE_FLAVOUR STREQUAL "asan")
  target_compile_options(posthouse_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(posthouse_flags INTERFACE -fsanitize=address,undefined)
elseif(POSTHOUSE_FLAVOUR STREQUAL "tsan")
  target_compile_options(posthouse_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(posthouse_flags INTERFACE -fsanitize=thread)
elseif(POSTHOUSE_FLAVOUR STREQUAL "coverage")
  # Only libraries and fuzz targets: tests/fuzz/run counts the lines that each corpus reaches.
  target_compile_options(posthouse_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping -fcoverage-compilation-dir=.)
  target_link_options(posthouse_flags INTERFACE -fprofile-instr-generate)
else()
  message(FATAL_ERROR "POSTHOUSE_FLAVOUR=${POSTHOUSE_FLAVOUR}: release, asan, tsan or coverage")
endif()

# posthouse_folder(NAME [DEPENDS folder...] [PKGS pkg-config-name...] [LIBS library...])
function(posthouse_folder NAME)
  cmake_parse_arguments(ARG "" "" "DEPENDS;PKGS;LIBS" ${ARGN})
  file(GLOB ALL_C CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  set(MAINS ${ALL_C})
  set(TESTS ${ALL_C})
  set(FUZZES ${ALL_C})
  set(SOURCES ${ALL_C})
  list(FILTER MAINS INCLUDE REGEX "_main\\.c$")
  list(FILTER TESTS INCLUDE REGEX "_test\\.c$")
  list(FILTER FUZZES INCLUDE REGEX "_fuzz\\.c$")
  set(CRASHES ${ALL_C})
  list(FILTER CRASHES INCLUDE REGEX "_crash\\.c$")
  list(FILTER SOURCES EXCLUDE REGEX "_(main|test|fuzz|crash)\\.c$")
  if(POSTHOUSE_FLAVOUR STREQUAL "coverage")
    set(MAINS "")
    set(TESTS "")
    set(CRASHES "")
  endif()

  add_library(${NAME} STATIC ${SOURCES})
  target_include_directories(${NAME} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${NAME} PUBLIC posthouse_flags ${ARG_DEPENDS} Threads::Threads)
  foreach(PKG ${ARG_PKGS})
    string(MAKE_C_IDENTIFIER "PKG_${PKG}" VAR)
    pkg_check_modules(${VAR} REQUIRED IMPORTED_TARGET GLOBAL ${PKG})
    target_link_libraries(${NAME} PUBLIC PkgConfig::${VAR})
  endforeach()
  target_link_libraries(${NAME} PUBLIC ${ARG_LIBS})

  foreach(FILE ${MAINS})
    get_filename_component(STEM ${FILE} NAME_WE)
    string(REGEX REPLACE "_main$" "" STEM ${STEM})
    if(STEM STREQUAL "posthouse")
      set(PROGRAM posthouse)
    else()
      set(PROGRAM posthouse-${STEM})
    endif()
    add_executable(${PROGRAM} ${FILE})
    target_include_directories(${PROGRAM} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${PROGRAM} PRIVATE ${NAME})
    set_target_properties(${PROGRAM} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  endforeach()
  foreach(FILE ${TESTS})
    posthouse_unit_test(${FILE} ${NAME})
  endforeach()
  foreach(FILE ${FUZZES})
    posthouse_fuzz_target(${FILE} ${NAME})
  endforeach()
  foreach(FILE ${CRASHES})
    get_filename_component(STEM ${FILE} NAME_WE)
    add_executable(${STEM} ${FILE})
    target_include_directories(${STEM} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${STEM} PRIVATE ${NAME} test_disk)
    set_source_files_properties(${FILE} PROPERTIES COMPILE_OPTIONS -Wno-frame-larger-than)
    set_target_properties(${STEM} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/crash)
  endforeach()
endfunction()

# A cmocka program beside the code, with the disk of tests/disk if it wants it. In the tsan flavour it carries the label tsan: same tests,
# another judge.
function(posthouse_unit_test FILE LIBRARY)
  get_filename_component(STEM ${FILE} NAME_WE)
  add_executable(${LIBRARY}_${STEM} ${FILE})
  target_include_directories(${LIBRARY}_${STEM} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${LIBRARY}_${STEM} PRIVATE ${LIBRARY} test_disk cmocka)
  # A test has the main thread's stack. Options of a source file come last and so win.
  set_source_files_properties(${FILE} PROPERTIES COMPILE_OPTIONS -Wno-frame-larger-than)
  set(LABEL unit)
  if(POSTHOUSE_FLAVOUR STREQUAL "tsan")
    set(LABEL tsan)
  endif()
  if(NOT POSTHOUSE_FLAVOUR STREQUAL "release")
    add_test(NAME ${POSTHOUSE_FLAVOUR}.${LIBRARY}.${STEM} COMMAND ${LIBRARY}_${STEM})
    set_tests_properties(${POSTHOUSE_FLAVOUR}.${LIBRARY}.${STEM} PROPERTIES LABELS ${LABEL} TIMEOUT 400) # some take a minute alone
    if(POSTHOUSE_FLAVOUR STREQUAL "tsan") # as in tests/CMakeLists.txt: its housekeeping happens in whichever turn comes
      set_tests_properties(${POSTHOUSE_FLAVOUR}.${LIBRARY}.${STEM} PROPERTIES ENVIRONMENT POSTHOUSE_TURN_MS=2000)
    endif()
  endif()
endfunction()

# A libFuzzer program, in the asan flavour to find and in the coverage flavour to count. tests/fuzz/run knows how to run them.
function(posthouse_fuzz_target FILE LIBRARY)
  if(NOT POSTHOUSE_FLAVOUR MATCHES "^(asan|coverage)$")
    return()
  endif()
  get_filename_component(STEM ${FILE} NAME_WE)
  add_executable(${LIBRARY}_${STEM} ${FILE})
  target_include_directories(${LIBRARY}_${STEM} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${LIBRARY}_${STEM} PRIVATE ${LIBRARY} fuzz_rows cmocka) # the fixtures of tests serve here too
  target_link_options(${LIBRARY}_${STEM} PRIVATE -fsanitize=fuzzer)
  if(POSTHOUSE_FLAVOUR STREQUAL "asan")
    target_compile_options(${LIBRARY} PRIVATE -fsanitize=fuzzer-no-link)
    add_test(NAME fuzz.${LIBRARY}.${STEM} COMMAND ${CMAKE_SOURCE_DIR}/tests/fuzz/run ${STEM})
    set_tests_properties(fuzz.${LIBRARY}.${STEM} PROPERTIES LABELS fuzz TIMEOUT 300)
  endif()
endfunction()
