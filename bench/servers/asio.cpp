// asio, stand-alone, as its echo example: a session object a connection, async_read_some and then
// async_write. Its buffer is 64 KiB (the example has 1 KiB), the size that suits asio best here.
extern "C" {
#include "../common/listener.h"
}

#include <asio.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

namespace
{

template <class Protocol> class Session : public std::enable_shared_from_this<Session<Protocol>>
{
  public:
    explicit Session(typename Protocol::socket socket) : socket_(std::move(socket))
    {
    }

    void read()
    {
        auto self = this->shared_from_this();
        socket_.async_read_some(asio::buffer(bytes_), [self](std::error_code error, std::size_t n) {
            if (!error) {
                self->write(n);
            }
        });
    }

  private:
    void write(std::size_t length)
    {
        auto self = this->shared_from_this();
        asio::async_write(socket_, asio::buffer(bytes_.data(), length),
                          [self](std::error_code error, std::size_t) {
                              if (!error) {
                                  self->read();
                              }
                          });
    }

    typename Protocol::socket socket_;
    std::array<char, 65536> bytes_;
};

template <class Protocol> class Server
{
  public:
    Server(asio::io_context &context, const Protocol &protocol, int fd) : acceptor_(context)
    {
        acceptor_.assign(protocol, fd);
        accept();
    }

  private:
    void accept()
    {
        acceptor_.async_accept([this](std::error_code error, typename Protocol::socket socket) {
            if (!error) {
                std::make_shared<Session<Protocol>>(std::move(socket))->read();
            }
            accept();
        });
    }

    typename Protocol::acceptor acceptor_;
};

} // namespace

int main(int argc, char **argv)
{
    bench_listener listener = bench_listener_open(argc, argv);
    asio::io_context context(1);
    if (listener.is_unix) {
        Server<asio::local::stream_protocol> server(context, asio::local::stream_protocol(),
                                                    listener.fd);
        context.run();
    } else {
        Server<asio::ip::tcp> server(context, asio::ip::tcp::v4(), listener.fd);
        context.run();
    }
    return 0;
}
