// A stand-in for libacl_rtc: compiles Ascend C against the simulator's headers with the host's C++ compiler ($CXX or g++) into a
// shared object, which the stand-in for libascendcl takes for a binary. Results are kept in the folder `cache` beside the headers.
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

extern char** environ;

namespace {

constexpr int OK = 0, INVALID_INPUT = 176001, COMPILE_FAILED = 176006;

struct Program {
    std::string source, name, log;
    std::vector<char> binary;
};

std::string root() {
    Dl_info self{};
    if (!dladdr(reinterpret_cast<void*>(&root), &self) || !self.dli_fname) return ".";
    std::string path = self.dli_fname;
    for (int i = 0; i < 2; i++) path = path.substr(0, path.find_last_of('/'));
    return path;
}

std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

// FNV-1a.
std::string hash(const std::string& text) {
    uint64_t h = 14695981039346656037ull;
    for (unsigned char c : text) h = (h ^ c) * 1099511628211ull;
    char out[17];
    std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(h));
    return out;
}

// The cores that a kernel asks for, as sim::KernelKind counts them.
int kind_of(const std::string& source) {
    size_t at = source.find("KERNEL_TASK_TYPE_DEFAULT(");
    std::string type = at == std::string::npos ? "" : source.substr(at, source.find(')', at) - at);
    if (type.find("MIX") != std::string::npos || source.find("__mix__(") != std::string::npos) return 2;
    if (type.find("AIC_ONLY") != std::string::npos || source.find("__cube__") != std::string::npos) return 1;
    return 0;
}

int run(std::vector<std::string> words, const std::string& log) {
    std::vector<char*> argv;
    for (auto& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t to;
    posix_spawn_file_actions_init(&to);
    posix_spawn_file_actions_addopen(&to, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&to, 1, 2);
    pid_t child = 0;
    int failed = posix_spawnp(&child, argv[0], &to, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&to);
    if (failed) return -1;
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int compile(Program& p, const std::string& arch) {
    std::string home = root(), chip = read(home + "/chip.txt"), want = "generation ";
    size_t at = chip.find(want);
    std::string generation = at == std::string::npos ? "" : chip.substr(at + want.size(), chip.find('\n', at) - at - want.size());
    if (!arch.empty() && arch != "dav-" + generation) {
        p.log = "the code is for " + arch + ", the simulated chip is of dav-" + generation;
        return COMPILE_FAILED;
    }
    std::string stem = home + "/cache/" + hash(p.source), so = stem + ".so";
    mkdir((home + "/cache").c_str(), 0700);
    if (access(so.c_str(), R_OK) != 0) {
        std::string mine = stem + "." + std::to_string(getpid()), cpp = mine + ".cpp", part = mine + ".so", log = mine + ".log";
        std::ofstream(cpp) << p.source << "\nextern \"C\" __attribute__((visibility(\"default\"))) const int beiming_sim_kind = " << kind_of(p.source) << ";\n";
        const char* cxx = std::getenv("CXX");
        int rc = run({cxx ? cxx : "g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-I" + home + "/include", cpp, "-o", part, "-L" + home + "/lib64",
                      "-lascendcl", "-Wl,-rpath," + home + "/lib64"},
                     log);
        p.log = read(log);
        std::remove(log.c_str());
        std::remove(cpp.c_str());
        if (rc != 0) {
            if (p.log.empty()) p.log = "the C++ compiler cannot be run";
            std::remove(part.c_str());
            return COMPILE_FAILED;
        }
        std::rename(part.c_str(), so.c_str());
    }
    std::string bytes = read(so);
    p.binary.assign(bytes.begin(), bytes.end());
    return OK;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API int aclrtcCreateProg(void** out, const char* source, const char* name, int headers, const char**, const char**) {
    if (!out || !source || headers != 0) return INVALID_INPUT;
    *out = new Program{source, name ? name : "", {}, {}};
    return OK;
}

API int aclrtcDestroyProg(void** p) {
    delete static_cast<Program*>(*p);
    *p = nullptr;
    return OK;
}

API int aclrtcCompileProg(void* p, int count, const char** options) {
    std::string arch, flag = "--npu-arch=";
    for (int i = 0; i < count; i++)
        if (std::string(options[i]).rfind(flag, 0) == 0) arch = options[i] + flag.size();
    return compile(*static_cast<Program*>(p), arch);
}

API int aclrtcGetBinDataSize(void* p, size_t* bytes) {
    *bytes = static_cast<Program*>(p)->binary.size();
    return OK;
}

API int aclrtcGetBinData(void* p, char* out) {
    auto& b = static_cast<Program*>(p)->binary;
    std::memcpy(out, b.data(), b.size());
    return OK;
}

API int aclrtcGetCompileLogSize(void* p, size_t* bytes) {
    *bytes = static_cast<Program*>(p)->log.size() + 1;
    return OK;
}

API int aclrtcGetCompileLog(void* p, char* out) {
    auto& log = static_cast<Program*>(p)->log;
    std::memcpy(out, log.c_str(), log.size() + 1);
    return OK;
}
