"""The two Python services of the example: stock, which is busy at first, and offers, a stream. Prints their ports."""

import itertools
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

# Compiles the contracts beside this file.
stock_pb2, stock_grpc = grpc.protos_and_services("stock.proto")
offers_pb2, offers_grpc = grpc.protos_and_services("offers.proto")


def busy() -> status_pb2.Status:
    """A refusal that says when to come again."""
    wait = any_pb2.Any()
    wait.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=200_000_000)))
    return status_pb2.Status(code=code_pb2.UNAVAILABLE, message="the stock is being counted", details=[wait])


class Stock(stock_grpc.StockServiceServicer):
    def __init__(self):
        self.lock = threading.Lock()
        self.left = {"tea": 10}
        self.reserved = {}  # by idempotency key
        self.calls = itertools.count()

    def Reserve(self, request, context):
        key = dict(context.invocation_metadata()).get("idempotency-key", "")
        with self.lock:
            if next(self.calls) == 0:
                context.abort_with_status(rpc_status.to_status(busy()))
            if key not in self.reserved:
                left = self.left.get(request.sku)
                if left is None:
                    context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {request.sku}")
                if left < request.amount:
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"there are only {left} of {request.sku}")
                self.left[request.sku] = left - request.amount
                self.reserved[key] = (f"r{len(self.reserved) + 1}", request.sku, request.amount)
            name, sku, _ = self.reserved[key]
            return stock_pb2.ReserveResponse(reservation=name, left=self.left[sku])

    def Release(self, request, context):
        with self.lock:
            for key, (name, sku, amount) in list(self.reserved.items()):
                if name == request.reservation:
                    del self.reserved[key]
                    self.left[sku] += amount
            return stock_pb2.ReleaseResponse(left=sum(self.left.values()))


class Offers(offers_grpc.OfferServiceServicer):
    def StreamOffers(self, request, context):
        for carrier, price in [("pigeon", 7.5), ("barge", 3.25), ("rocket", 9000.0)]:
            yield offers_pb2.StreamOffersResponse(carrier=carrier, price=price)


def serve(add, servicer, name):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    add(servicer, server)
    reflection.enable_server_reflection([name, reflection.SERVICE_NAME], server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


if __name__ == "__main__":
    stock, stock_port = serve(stock_grpc.add_StockServiceServicer_to_server, Stock(), "shop.stock.v1.StockService")
    offers, offers_port = serve(offers_grpc.add_OfferServiceServicer_to_server, Offers(), "shop.offers.v1.OfferService")
    print(stock_port, offers_port, flush=True)
    # Until the one who started this is gone.
    sys.stdin.read()
