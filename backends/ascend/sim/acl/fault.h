// Failures on request: `malloc:3,lost:20` lets the third allocation fail and loses the device at the twentieth call that reaches it.
// Words: init, malloc, malloc_host, launch (refused), kernel (fails while it runs), hang (a wait ends by its time limit), lost.
#pragma once

#include <map>
#include <sstream>
#include <string>

namespace sim {

class Fault {
public:
    Fault() = default;
    explicit Fault(const std::string& spec) {
        std::stringstream in(spec);
        for (std::string one; std::getline(in, one, ',');) {
            size_t colon = one.find(':');
            left_[one.substr(0, colon)] = colon == std::string::npos ? 1 : std::atoi(one.c_str() + colon + 1);
        }
    }
    // True at the n-th call with this word.
    bool strikes(const std::string& word) {
        auto found = left_.find(word);
        return found != left_.end() && --found->second == 0;
    }

private:
    std::map<std::string, int> left_;
};

}  // namespace sim
