//! `CMakeLists.txt`.

use std::fmt::Write as _;

use beiming_ir::plan::Side;

use super::{Project, arch, comment};

/// The text; without host code only the kernels are built.
pub fn cmake(p: &Project<'_>, host: bool) -> String {
    let mut o = String::new();
    let _ = writeln!(o, "# {} for {} ({}). Generated; README.md says how it is used.", comment(p.model), p.npu.soc, arch(p.npu));
    let _ = writeln!(o, "cmake_minimum_required(VERSION 3.16)\nproject(beiming_model LANGUAGES CXX)\n");
    let _ =
        writeln!(o, "set(RUN_MODE npu CACHE STRING \"npu: an NPU; sim: CANN's simulator of one; cpu: the kernels on the CPU\")");
    let _ = writeln!(o, "set(SOC_VERSION {} CACHE STRING \"the chip, as npu-smi names it\")", p.npu.soc);
    o += "set(ASCEND_CANN_PACKAGE_PATH $ENV{ASCEND_HOME_PATH} CACHE PATH \"root of the CANN toolkit\")\n";
    o += "if(NOT EXISTS ${ASCEND_CANN_PACKAGE_PATH})\n  message(FATAL_ERROR \"no CANN toolkit: source its set_env.sh, or set \
          ASCEND_CANN_PACKAGE_PATH\")\nendif()\n";
    o += "set(CMAKE_CXX_STANDARD 17)\nif(NOT CMAKE_BUILD_TYPE)\n  set(CMAKE_BUILD_TYPE Release)\nendif()\n";
    o += "if(CMAKE_INSTALL_PREFIX_INITIALIZED_TO_DEFAULT)\n  set(CMAKE_INSTALL_PREFIX ${CMAKE_CURRENT_LIST_DIR} CACHE PATH \"\" FORCE)\nendif()\n\n";
    o += "set(KERNELS\n";
    for k in p.program.kernels.iter().filter(|k| k.side() == Side::Device) {
        let _ = writeln!(o, "  {}", k.name);
    }
    o += ")\n\nif(RUN_MODE STREQUAL cpu)\n";
    if host {
        o += "  list(APPEND CMAKE_PREFIX_PATH ${ASCEND_CANN_PACKAGE_PATH}/tools/tikicpulib/lib/cmake)\n  find_package(tikicpulib REQUIRED)\n";
        o += "  list(TRANSFORM KERNELS PREPEND kernels/)\n  list(TRANSFORM KERNELS APPEND .cpp)\n";
        o += "  add_library(beiming_model SHARED host/model.cpp host/device_cpu.cpp ${KERNELS})\n";
        o += "  target_compile_definitions(beiming_model PRIVATE ASCENDC_CPU_DEBUG=1)\n  target_compile_options(beiming_model PRIVATE -g)\n";
        o += "  target_link_libraries(beiming_model PRIVATE tikicpulib::${SOC_VERSION} ${CMAKE_DL_LIBS})\n";
    } else {
        o += "  message(FATAL_ERROR \"cpu mode needs host code, which this model has not; see README.md\")\n";
    }
    o += "else()\n  # Where the kernels' CMake functions lie depends on CANN's version.\n";
    o += "  foreach(folder compiler/tikcpp tools/tikcpp)\n    if(EXISTS ${ASCEND_CANN_PACKAGE_PATH}/${folder}/ascendc_kernel_cmake)\n      \
          set(ASCENDC_CMAKE_DIR ${ASCEND_CANN_PACKAGE_PATH}/${folder}/ascendc_kernel_cmake)\n    endif()\n  endforeach()\n";
    o += "  include(${ASCENDC_CMAKE_DIR}/ascendc.cmake)\n  # One binary a kernel: fatbin/NAME/NAME.o under the install prefix.\n";
    o += "  foreach(kernel ${KERNELS})\n    ascendc_fatbin_library(${kernel} kernels/${kernel}.cpp)\n  endforeach()\n";
    if host {
        o += "  add_library(beiming_model SHARED host/model.cpp host/device_acl.cpp)\n";
        o += "  target_include_directories(beiming_model PRIVATE ${ASCEND_CANN_PACKAGE_PATH}/include)\n";
        o += "  target_link_directories(beiming_model PRIVATE ${ASCEND_CANN_PACKAGE_PATH}/lib64)\n";
        o += "  target_link_libraries(beiming_model PRIVATE ascendcl ${CMAKE_DL_LIBS})\n";
        o += "  if(RUN_MODE STREQUAL sim)\n    # The simulator's driver and runtime take the place of the device's.\n    \
              set(SIMULATOR ${ASCEND_CANN_PACKAGE_PATH}/tools/simulator/${SOC_VERSION}/lib)\n    \
              target_link_directories(beiming_model PRIVATE ${SIMULATOR})\n    \
              target_link_libraries(beiming_model PRIVATE runtime_camodel npu_drv_camodel)\n    \
              set_target_properties(beiming_model PROPERTIES BUILD_RPATH ${SIMULATOR} INSTALL_RPATH ${SIMULATOR})\n  endif()\n";
    }
    o += "endif()\n";
    if host {
        o += "\nadd_executable(main host/main.cpp)\ntarget_link_libraries(main PRIVATE beiming_model)\n";
        o +=
            "set_target_properties(main PROPERTIES INSTALL_RPATH \\$ORIGIN)\ninstall(TARGETS main beiming_model DESTINATION .)\n";
    }
    o
}
