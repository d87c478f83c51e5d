#include "config/shell_words.h"

#include <algorithm>
#include <cerrno>

namespace gpcsup::config {

namespace {

// As a TOML string, for the example in a message.
std::string toml_string(std::string_view text) {
    std::string result = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') {
            result += '\\';
        }
        result += c == '\n' ? ' ' : c;
    }
    return result + "\"";
}

class Splitter {
  public:
    explicit Splitter(std::string_view command) : command_(command) {}

    base::Result<std::vector<std::string>> split() {
        while (position_ < command_.size()) {
            base::Result<> read = read_one();
            if (!read) {
                return base::pass(read);
            }
        }
        end_word();
        if (words_.empty()) {
            return base::refuse(EINVAL, "the command is empty", R"(write ["/usr/bin/program", "argument"])");
        }
        if (begins_with_variable()) {
            return base::refuse(EINVAL, "a command cannot begin with a variable",
                                "write environment = { NAME = \"value\" }");
        }
        return std::move(words_);
    }

  private:
    base::Result<> read_one() {
        const char c = command_[position_++];
        switch (c) {
            case ' ':
            case '\t':
                end_word();
                return {};
            case '\'':
                return read_single_quoted();
            case '"':
                return read_double_quoted();
            case '\\':
                if (position_ == command_.size()) {
                    return base::refuse(EINVAL, "the command ends with a backslash");
                }
                append(command_[position_++]);
                return {};
            case '#':
                return in_word_ ? (append(c), base::Result<>()) : needs_shell("#");
            default:
                break;
        }
        if (std::string_view("|&;<>()$`\n").find(c) != std::string_view::npos) {
            return needs_shell(c == '\n' ? "a new line" : std::string(1, c));
        }
        append(c);
        return {};
    }

    base::Result<> read_single_quoted() {
        const std::size_t end = command_.find('\'', position_);
        if (end == std::string_view::npos) {
            return base::refuse(EINVAL, "a ' is open at the end of the command");
        }
        in_word_ = true;
        word_ += command_.substr(position_, end - position_);
        position_ = end + 1;
        return {};
    }

    base::Result<> read_double_quoted() {
        in_word_ = true;
        while (position_ < command_.size()) {
            const char c = command_[position_++];
            if (c == '"') {
                return {};
            }
            if (c == '$' || c == '`') {
                return needs_shell(std::string(1, c));
            }
            const bool escapes =
                c == '\\' && position_ < command_.size() &&
                std::string_view("\"\\$`").find(command_[position_]) != std::string_view::npos;
            append(escapes ? command_[position_++] : c);
        }
        return base::refuse(EINVAL, "a \" is open at the end of the command");
    }

    [[nodiscard]] std::unexpected<base::Error> needs_shell(std::string_view what) const {
        return base::refuse(EINVAL, "only a shell understands " + std::string(what) + " in a command",
                            "write [\"sh\", \"-c\", " + toml_string(command_) + "], or quote it");
    }

    [[nodiscard]] bool begins_with_variable() const {
        const std::string& first = words_.front();
        const std::size_t sign = first.find('=');
        const auto is_name = [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        };
        return sign != std::string::npos && sign > 0 && std::ranges::all_of(first.substr(0, sign), is_name);
    }

    void append(char c) {
        in_word_ = true;
        word_ += c;
    }

    void end_word() {
        if (in_word_) {
            words_.push_back(std::move(word_));
            word_.clear();
            in_word_ = false;
        }
    }

    std::string_view command_;
    std::size_t position_ = 0;
    std::string word_;
    bool in_word_ = false;  // also of an empty word: ''
    std::vector<std::string> words_;
};

}  // namespace

base::Result<std::vector<std::string>> split_words(std::string_view command) {
    return Splitter(command).split();
}

}  // namespace gpcsup::config
